"""Federated algorithms on a linear model, for comparisons of runtimes."""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

FEATURES = 3
ELEMENT = collections.OrderedDict(
  x=tf.TensorSpec([None, FEATURES], tf.float32),
  y=tf.TensorSpec([None, 1], tf.float32),
)


class Linear(tff.learning.models.VariableModel):
  """Linear regression with two metrics."""

  def __init__(self):
    self._weight = tf.Variable(tf.zeros([FEATURES, 1]), name='weight')
    self._bias = tf.Variable(tf.zeros([1]), name='bias')
    self._loss = tf.Variable(0.0, trainable=False, name='loss')
    self._count = tf.Variable(0.0, trainable=False, name='count')

  @property
  def trainable_variables(self):
    return [self._weight, self._bias]

  @property
  def non_trainable_variables(self):
    return []

  @property
  def local_variables(self):
    return [self._loss, self._count]

  @property
  def input_spec(self):
    return ELEMENT

  def predict_on_batch(self, batch_input, training=True):
    return batch_input['x'] @ self._weight + self._bias

  def forward_pass(self, batch_input, training=True):
    predictions = self.predict_on_batch(batch_input)
    loss = tf.reduce_mean(tf.square(predictions - batch_input['y']))
    count = tf.shape(batch_input['y'])[0]
    self._loss.assign_add(loss * tf.cast(count, tf.float32))
    self._count.assign_add(tf.cast(count, tf.float32))
    return tff.learning.models.BatchOutput(loss, predictions, count)

  def report_local_unfinalized_metrics(self):
    return collections.OrderedDict(loss=[self._loss, self._count])

  def metric_finalizers(self):
    return collections.OrderedDict(
      loss=lambda sums: tf.math.divide_no_nan(sums[0], sums[1])
    )

  def reset_metrics(self):
    for variable in self.local_variables:
      variable.assign(0.0)


def dataset(seed: int, examples: int) -> tf.data.Dataset:
  """A client with batches of up to 2 examples."""
  rng = np.random.default_rng(seed)
  x = rng.normal(size=[examples, FEATURES]).astype(np.float32)
  y = x @ np.array([[1.0], [-2.0], [0.5]], np.float32) + np.float32(0.3)
  return tf.data.Dataset.from_tensor_slices(
    collections.OrderedDict(x=x, y=y)
  ).batch(2)


def _sgd(rate=0.1, momentum=None):
  return tff.learning.optimizers.build_sgdm(rate, momentum)


def _halved_each_round():
  return tff.learning.optimizers.schedule_learning_rate(
    _sgd(momentum=0.9), lambda done: 0.1 * 0.5 ** tf.cast(done, tf.float32)
  )


def _fed_avg(aggregator=None, weighted=True, **kwargs):
  build = (
    tff.learning.algorithms.build_weighted_fed_avg
    if weighted
    else tff.learning.algorithms.build_unweighted_fed_avg
  )
  return build(
    Linear,
    _sgd(momentum=0.9),
    tff.learning.optimizers.build_adam(0.1),
    model_aggregator=aggregator,
    **kwargs,
  )


def _noiseless(query) -> tff.learning.templates.LearningProcess:
  return _fed_avg(
    tff.aggregators.DifferentiallyPrivateFactory(query), weighted=False
  )


def _adaptive():
  return tff.aggregators.PrivateQuantileEstimationProcess.no_noise(
    0.5, 0.5, 0.2
  )


def _zeroed_and_clipped():
  return tff.aggregators.zeroing_factory(
    10.0, tff.aggregators.clipping_factory(_adaptive(), _mean())
  )


def _mean():
  return tff.aggregators.MeanFactory()


ALGORITHMS = {
  'weighted_fed_avg': _fed_avg,
  'unweighted_fed_avg': lambda: _fed_avg(weighted=False),
  'iterator_fed_avg': lambda: _fed_avg(
    loop_implementation=tff.learning.LoopImplementation.DATASET_ITERATOR
  ),
  'scheduled_fed_avg': (
    lambda: tff.learning.algorithms.build_unweighted_fed_avg(
      Linear, _sgd(), _halved_each_round()
    )
  ),
  'weighted_fed_prox': lambda: tff.learning.algorithms.build_weighted_fed_prox(
    Linear, 0.1, _sgd()
  ),
  'unweighted_fed_prox': (
    lambda: tff.learning.algorithms.build_unweighted_fed_prox(
      Linear, 0.1, _sgd()
    )
  ),
  'fed_sgd': lambda: tff.learning.algorithms.build_fed_sgd(Linear, _sgd()),
  'fed_eval': lambda: tff.learning.algorithms.build_fed_eval(Linear),
  'weighted_mime_lite': (
    lambda: tff.learning.algorithms.build_weighted_mime_lite(
      Linear, _sgd(momentum=0.9)
    )
  ),
  'unweighted_mime_lite': (
    lambda: tff.learning.algorithms.build_unweighted_mime_lite(
      Linear, _sgd(momentum=0.9)
    )
  ),
  'robust': lambda: _fed_avg(
    tff.learning.robust_aggregator(zeroing=True, clipping=True)
  ),
  'clipped': lambda: _fed_avg(_zeroed_and_clipped()),
  'compressed': lambda: _fed_avg(tff.learning.compression_aggregator()),
  'secure': lambda: _fed_avg(tff.learning.secure_aggregator()),
  'dp_fixed': lambda: _noiseless(tfp.GaussianSumQuery(0.3, 0.0)),
  'dp_adaptive': lambda: _noiseless(
    tfp.QuantileAdaptiveClipSumQuery(
      initial_l2_norm_clip=0.3,
      noise_multiplier=0.0,
      target_unclipped_quantile=0.5,
      learning_rate=0.2,
      clipped_count_stddev=0.0,
      expected_num_records=3.0,
    )
  ),
  'dp_tree': lambda: _fed_avg(
    tff.aggregators.DifferentiallyPrivateFactory.tree_aggregation(
      noise_multiplier=0.0,
      clients_per_round=3.0,
      l2_norm_clip=0.3,
      record_specs=[
        tf.TensorSpec([FEATURES, 1]),
        tf.TensorSpec([1]),
      ],
    ),
    weighted=False,
  ),
}

# The state of these has the time at which it was made.
SEEDED_BY_THE_CLOCK = frozenset(['dp_tree'])
