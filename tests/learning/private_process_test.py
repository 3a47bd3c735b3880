"""A private process for any model releases nothing of its clients' metrics."""

import collections

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_federated as tff

from tests import plans
from tff_asr.executors import context
from tff_asr.learning import private_process
from tff_asr.privacy.mechanism import layer_clipping

SPEC = collections.OrderedDict(
  x=tf.TensorSpec([None, 2], tf.float32), y=tf.TensorSpec([None, 1], tf.float32)
)
SIZES = {'kernel': 2, 'bias': 1}
PLAN = plans.make(
  population=8,
  cohort_size=4,
  rounds=1,
  delta=1e-6,
  noise_multiplier=1.0,
  clipping=layer_clipping.LayerClipping(1.0),
)


def keras_model():
  return tff.learning.models.from_keras_model(
    tf.keras.Sequential(
      [tf.keras.Input([2]), tf.keras.layers.Dense(1, name='dense')]
    ),
    loss=tf.keras.losses.MeanSquaredError(),
    input_spec=SPEC,
    metrics=[tf.keras.metrics.MeanAbsoluteError()],
  )


def functional_model():
  return tff.learning.models.functional_model_from_keras(
    tf.keras.Sequential([tf.keras.Input([2]), tf.keras.layers.Dense(1)]),
    tf.keras.losses.MeanSquaredError(),
    SPEC,
    lambda: collections.OrderedDict(error=tf.keras.metrics.MeanAbsoluteError()),
  )


def client(value):
  examples = collections.OrderedDict(
    x=np.full([3, 2], value, np.float32), y=np.zeros([3, 1], np.float32)
  )
  return tf.data.Dataset.from_tensor_slices(examples).batch(2)


@pytest.mark.parametrize('layers', [None, SIZES])
@pytest.mark.parametrize(
  'model', [keras_model, functional_model()], ids=['keras', 'functional']
)
def test_no_metric_depends_on_the_clients(model, layers):
  runtime = context.set_local_device_context()
  sgd = tff.learning.optimizers.build_sgdm(0.1)
  process = private_process.build_private_fed_avg(
    model, PLAN, sgd, tff.learning.optimizers.build_sgdm(1.0), layers
  )
  state = process.initialize()
  outputs = [
    process.next(state, cohort)
    for cohort in ([], [client(1.0)], [client(5.0), client(-9.0)])
  ]
  for output in outputs:
    # Of the noised mean; with TFF's own builder there is a loss as well.
    assert output.metrics['finalizer'].popitem() == ('update_non_finite', 0)
    assert not tf.nest.flatten(output.metrics)
  runtime.close()


def test_the_noise_is_that_of_the_plan():
  runtime = context.set_local_device_context()
  sgd = tff.learning.optimizers.build_sgdm(0.1)
  process = private_process.build_private_fed_avg(
    keras_model, PLAN, sgd, tff.learning.optimizers.build_sgdm(1.0)
  )
  state = process.initialize()
  before = process.get_model_weights(state).trainable
  moved = []
  for _ in range(60):
    after = process.get_model_weights(process.next(state, []).state).trainable
    moved += [np.ravel(a - b) for a, b in zip(after, before, strict=True)]
  moved = np.concatenate(moved)
  low, high = scipy.stats.chi2.ppf([5e-10, 1 - 5e-10], moved.size)
  assert low < np.sum(np.square(moved * 4)) < high
  assert 4 * low > high  # So half or twice the noise is noticed.
  runtime.close()
