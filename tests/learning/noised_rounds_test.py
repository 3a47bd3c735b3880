"""Noise of whole rounds in the default runtime, with the process of a run.

All that one test does fails by chance at most once in a hundred million runs.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tests import plans
from tests.privacy.updates import are_independent, has_variance, is_gaussian
from tff_asr.corpora import batching, client_datasets
from tff_asr.executors import context
from tff_asr.learning import federated
from tff_asr.models import presets
from tff_asr.privacy.mechanism import layer_clipping

MODEL = dataclasses.replace(
  presets.preset('tiny', 30), width=8, mlp_width=16, blocks=1, convolutions=1
)
# Noise that is large beside the weights, so that float32 hides none of it.
PLAN = plans.make(
  population=3,
  cohort_size=2,
  rounds=1,
  delta=1e-6,
  noise_multiplier=2.0,
  clipping=layer_clipping.LayerClipping(50.0, layer_bounds='dim'),
  noise_allocation='per_layer',
)
ROUNDS = 400  # Some layers have one coordinate.


@pytest.fixture(scope='module')
def steps(speech):
  """What empty cohorts add to the weights, by rounds, and its measured norms.

  Half of the rounds begin from one state, the others where the last one ended.
  """
  runtime = context.set_local_device_context(
    clients_per_device=2, allow_native=False
  )
  process = federated.build_learning_process(
    MODEL, federated.FederatedConfig(0.1, 1.0, 'sgd', 1.0), PLAN
  )
  batches = batching.BatchConfig(seconds=0.9, epochs=1)
  composed = tff.simulation.compose_dataset_computation_with_learning_process(
    client_datasets.dataset_computation(speech, batches), process
  )

  def weights(state):
    trainable = process.get_model_weights(state).trainable
    return [np.asarray(w, np.float64) for w in trainable]

  state = process.initialize()
  found = []
  for number in range(ROUNDS):
    if number < 4:
      tf.keras.utils.set_random_seed(1)
    output = composed.next(state, [])
    step = [
      (after - before).ravel()
      for after, before in zip(
        weights(output.state), weights(state), strict=True
      )
    ]
    found.append((step, output.metrics['aggregator']['layer_norms']))
    if number >= ROUNDS // 2:
      state = output.state
  runtime.close()
  with tf.Graph().as_default():
    sizes = MODEL.layer_sizes()
  assert [t.size for t in found[0][0]] == list(sizes.values())
  return found


def stddevs(step):
  """sigma_h = z sqrt(H) C_h over S, with C_h = C sqrt(d_h / d)."""
  sizes = np.array([t.size for t in step])
  bounds = PLAN.mechanism.clipping.clip_norm * np.sqrt(sizes / sizes.sum())
  return PLAN.noise_multiplier * len(sizes) ** 0.5 * bounds / PLAN.cohort_size


def test_an_empty_cohorts_step_is_noise_of_the_right_scale_on_every_layer(
  steps,
):
  layers = [np.concatenate(t) for t in zip(*(s for s, _ in steps), strict=True)]
  expected = stddevs(steps[0][0])
  for sample, stddev in zip(layers, expected, strict=True):
    assert has_variance(sample, stddev, len(layers))
    assert not has_variance(0.5 * sample, stddev, len(layers))
  whole = np.concatenate(
    [t / s for step, _ in steps for t, s in zip(step, expected, strict=True)]
  )
  assert has_variance(whole, 1.0) and is_gaussian(whole, 1.0)
  for wrong in 0.99, 1.01:
    assert not has_variance(wrong * whole, 1.0)


def test_rounds_and_layers_never_share_noise(steps):
  """Whether from one state or one after the other, whatever is seeded."""
  half = ROUNDS // 2
  for some in steps[:12], steps[half : half + 12]:
    rounds = [np.concatenate(step) for step, _ in some]
    assert are_independent(np.array(rounds))
  by_size = {}
  for layer in zip(*(step for step, _ in steps), strict=True):
    by_size.setdefault(layer[0].size, []).append(np.concatenate(layer))
  alike = [np.array(layers) for layers in by_size.values() if len(layers) > 1]
  assert len(alike) > 1
  for layers in alike:
    assert are_independent(layers)


def test_the_noise_that_is_measured_is_that_of_the_model(steps):
  """Two draws for one round would be two releases."""
  expected = stddevs(steps[0][0])
  for step, norms in steps:
    for tensor, norm, stddev in zip(step, norms, expected, strict=True):
      # As float32 rounds the weights, to which the noise was added.
      close = pytest.approx(norm, rel=1e-4, abs=1e-3 * stddev)
      assert np.linalg.norm(tensor) == close
