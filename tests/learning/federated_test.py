"""The federated process in TFF's native runtime."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tests import plans
from tff_asr.corpora import batching, client_datasets
from tff_asr.executors import native
from tff_asr.learning import federated, speech_model
from tff_asr.models import precision, presets
from tff_asr.privacy.mechanism import layer_clipping

# Without chance in training, so that rounds can be compared.
MODEL = dataclasses.replace(
  presets.preset('tiny', 30),
  width=16,
  mlp_width=32,
  blocks=1,
  dropout=0.0,
  augmentation=None,
)
# Two utterances of 0.4 s.
BATCHES = batching.BatchConfig(seconds=0.9, epochs=1)
CONFIG = federated.FederatedConfig(
  client_learning_rate=0.1,
  client_gradient_clip=1.0,
  server_optimizer='sgd',
  server_learning_rate=1.0,
)
PLAN = plans.make(
  population=3,
  cohort_size=2,
  rounds=1,
  delta=1e-6,
  noise_multiplier=0.0,
  clipping=layer_clipping.LayerClipping(1e-3),
)


@pytest.fixture(scope='module', autouse=True)
def worker():
  worker = native.set_native_context()
  yield
  worker.stop()


class Run:
  """A composed process with its state, on the batches of the shared store."""

  def __init__(self, speech, plan, config=CONFIG, batches=BATCHES, **kwargs):
    self.process = federated.build_learning_process(
      MODEL, config, plan, **kwargs
    )
    data = client_datasets.dataset_computation(speech, batches)
    compose = tff.simulation.compose_dataset_computation_with_learning_process
    self.next = compose(data, self.process).next
    tf.keras.utils.set_random_seed(1)
    self.encoder = MODEL.build()
    self.state = self.process.set_model_weights(
      self.process.initialize(),
      tff.learning.models.ModelWeights(
        [w.numpy() for w in self.encoder.trainable_variables], []
      ),
    )

  def weights(self, state):
    trainable = self.process.get_model_weights(state).trainable
    return [np.asarray(w) for w in trainable]

  def step(self, cohort):
    """Returns what one round adds to the weights, and its metrics."""
    output = self.next(self.state, cohort)
    before, after = self.weights(self.state), self.weights(output.state)
    update = [a - b for a, b in zip(after, before, strict=True)]
    return update, output.metrics


@pytest.fixture(scope='module')
def plain(speech):
  return Run(speech, None)


@pytest.fixture(scope='module')
def clipped(speech):
  return Run(speech, PLAN)


def test_the_initial_state_has_drawn_weights(plain):
  state = plain.process.initialize()
  drawn = {
    variable.name: bool(weight.any())
    for variable, weight in zip(
      plain.encoder.trainable_variables, plain.weights(state), strict=True
    )
  }
  assert drawn == {
    v.name: bool(np.any(v)) for v in plain.encoder.trainable_variables
  }


def norm(tensors):
  return np.sqrt(sum(np.sum(np.square(t, dtype=np.float64)) for t in tensors))


def test_a_round_of_one_client_is_local_sgd_with_clipped_gradients(speech):
  """Against a step in plain TensorFlow on the same single batch."""
  batches = batching.BatchConfig(seconds=9.0, epochs=1)
  run = Run(speech, None, batches=batches)
  update, _ = run.step(['a'])
  records = speech.all_records(tf.constant('a'), batches.limits)
  seed = tf.constant([1, 2])
  (batch,) = batching.client_batches(records, batches, seed)
  with tf.GradientTape() as tape:
    loss = speech_model.batch_loss(run.encoder, batch, training=True)
  gradients = tape.gradient(loss, run.encoder.trainable_variables)
  gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
  for actual, gradient in zip(update, gradients, strict=True):
    np.testing.assert_allclose(actual, -0.1 * gradient, atol=2e-5)


def test_the_mean_is_over_the_clients_that_answered(speech):
  one_batch = batching.BatchConfig(seconds=9.0, epochs=1)
  run = Run(speech, None, batches=one_batch)
  single = [run.step([c])[0] for c in ('a', 'b')]
  both, _ = run.step(['a', 'b'])
  for a, b, mean in zip(*single, both, strict=True):
    np.testing.assert_allclose(mean, (a + b) / 2, atol=1e-5)


def test_clients_may_compute_in_bfloat16(speech):
  """Updates are float32, and close to those of float32.

  After one step: more of them would amplify what rounding does.
  """
  one_batch = batching.BatchConfig(seconds=9.0, epochs=1)
  update, expected = (
    Run(speech, None, batches=one_batch, precision_name=name).step(['a'])[0]
    for name in (precision.BFLOAT16, precision.FLOAT32)
  )
  assert {t.dtype for t in update} == {np.dtype(np.float32)}
  difference = [a - b for a, b in zip(update, expected, strict=True)]
  assert 0 < norm(difference) < 0.1 * norm(expected)


def test_under_a_plan_the_sum_is_divided_by_the_expected_cohort(clipped):
  """One client moves the model by at most C / S, whoever else answers."""
  bound = PLAN.mechanism.clipping.clip_norm / PLAN.cohort_size
  for cohort in (['a'], ['b'], ['a', 'b', 'c']):
    update, _ = clipped.step(cohort)
    assert 0 < norm(update) <= len(cohort) * bound * (1 + 1e-3)


def test_an_empty_cohort_is_a_round(clipped, plain):
  assert norm(clipped.step([])[0]) == 0.0
  assert norm(plain.step([])[0]) == 0.0


def test_an_empty_cohort_of_a_private_round_is_noise_alone(speech):
  plan = plans.changed(PLAN, noise_multiplier=2.0)
  noised = Run(speech, plan)
  update, _ = noised.step([])
  flat = np.concatenate([t.ravel() for t in update])
  expected = plan.mechanism.noise_stddev / plan.cohort_size
  # More than 20,000 coordinates: 6 standard errors of the std are 3 %.
  assert flat.size > 20_000
  assert np.std(flat) == pytest.approx(expected, rel=0.03)
  again, _ = noised.step([])
  assert not np.array_equal(update[0], again[0])


def test_metrics_of_a_private_round_say_nothing_of_clients(clipped):
  _, private = clipped.step(['a'])
  assert not private['client_work']['train']
  assert 'unprotected' not in private['aggregator']


@pytest.mark.parametrize(
  'plan',
  [
    None,
    plans.changed(PLAN, noise_multiplier=2.0, unprotected_metrics=True),
  ],
)
def test_metrics_of_another_round_say_what_clients_did(speech, plan):
  """Without a plan; and with one that has it, before clipping and noise."""
  one_batch = batching.BatchConfig(seconds=9.0, epochs=1)
  plain = Run(speech, None, batches=one_batch)
  updates = [plain.step([client])[0] for client in ('a', 'b')]
  _, metrics = Run(speech, plan, batches=one_batch).step(['a', 'b'])
  train, sums = metrics['client_work']['train'], metrics['aggregator']
  sums = sums['unprotected']
  assert train['loss'] > 0.0 and train['utterances'] == 6.0
  assert (sums['clients'], sums['failed']) == (2.0, 0.0)
  for layer, total in enumerate(sums['layer_norms']):
    expected = sum(norm([update[layer]]) for update in updates)
    assert total == pytest.approx(expected, rel=0.01, abs=1e-5)


def test_norms_of_the_aggregate_come_by_layer(clipped):
  update, metrics = clipped.step(['a', 'b'])
  measured = metrics['aggregator']['layer_norms']
  for tensor, layer_norm in zip(update, measured, strict=True):
    assert norm([tensor]) == pytest.approx(layer_norm, rel=0.02, abs=1e-6)


def test_rounds_with_lamb_lower_the_loss(speech):
  config = dataclasses.replace(
    CONFIG, server_optimizer='lamb', server_learning_rate=0.02
  )
  run = Run(speech, None, config)
  losses = []
  for _ in range(8):
    output = run.next(run.state, ['a', 'b', 'c'])
    run.state = output.state
    losses.append(output.metrics['client_work']['train']['loss'])
  assert losses[-1] < 0.7 * losses[0]
