"""The federated process is Algorithm 1 of the paper."""

import collections
import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tests import plans
from tests.learning import algorithm_1
from tff_asr.executors import native
from tff_asr.learning import federated
from tff_asr.models import presets
from tff_asr.privacy.mechanism import layer_clipping

# Dropout and augmentation are on: they follow from the seeds of the batches.
MODEL = dataclasses.replace(
  presets.preset('tiny', 30), width=16, mlp_width=32, blocks=1, convolutions=1
)
RUN = algorithm_1.Settings(
  q=0.6,
  C=0.7,
  bounds='uniform',
  optimizer='lamb',
  eta=0.01,
  C_loc=1.0,
  eta_loc=0.2,
)
# The bounds `dim` of the smallest layers are small: C is larger.
BOUNDS = {
  'uniform': RUN,
  'dim': dataclasses.replace(RUN, bounds='dim', C=3.5),
  'adaptive': dataclasses.replace(RUN, bounds='adaptive', eta_C=1.0),
}
CASES = {
  'uniform, LAMB': BOUNDS['uniform'],
  'dim, LAMB': BOUNDS['dim'],
  'adaptive, LAMB': BOUNDS['adaptive'],
  'adaptive, LARS': dataclasses.replace(
    BOUNDS['adaptive'], optimizer='lars', eta=3.0
  ),
  # Adam takes nearly full steps along coordinates of 1e-6, whose float32
  # rounding errors are not small beside them: a lower rate.
  'dim, Adam': dataclasses.replace(BOUNDS['dim'], optimizer='adam', eta=0.001),
}
ROUNDS = 3
# Cohorts of 3, 2 and 4 clients, of whom 3 are expected.
SEED = 1
TOLERANCE = 1e-5


def client(seed, batches):
  """Batches of one to three utterances each, noise with random tokens."""
  rng = np.random.default_rng(seed)
  made = []
  for _ in range(batches):
    rows = rng.integers(1, 4)
    frames, tokens = rng.integers(24, 48, rows), rng.integers(1, 4, rows)
    features = rng.normal(5.0, 3.0, [rows, frames.max(), 80])
    batch = collections.OrderedDict(
      features=features.astype(np.float32),
      frames=frames,
      tokens=rng.integers(1, 30, [rows, tokens.max()]),
      token_lengths=tokens,
      seed=rng.integers(0, 2**31 - 1, 2),
    )
    for name in list(batch)[1:]:
      batch[name] = batch[name].astype(np.int32)
    made.append(batch)
  return made


CLIENTS = {
  'short': client(1, batches=1),
  'medium': client(2, batches=2),
  'long': client(3, batches=5),
  'silent': [],
  'other': client(4, batches=3),
}


@pytest.fixture(scope='module', autouse=True)
def worker():
  worker = native.set_native_context()
  yield
  worker.stop()
  for cached in seed_model, oracle, trained:
    cached.cache_clear()


@functools.cache
def seed_model():
  """An encoder, which the oracle computes with, and the seed's weights."""
  tf.keras.utils.set_random_seed(1)
  encoder = MODEL.build()
  return encoder, [np.array(w) for w in encoder.trainable_variables]


@functools.cache
def oracle(run):
  """States of Algorithm 1 after each round."""
  encoder, theta = seed_model()
  rng = np.random.default_rng(SEED)
  states = [algorithm_1.initial(theta, run)]
  for _ in range(ROUNDS):
    states.append(algorithm_1.one_round(encoder, states[-1], CLIENTS, run, rng))
  return states[1:]


class Process:
  """The process that `train` builds, at the seed model."""

  def __init__(self, run):
    plan = plans.make(
      population=len(CLIENTS),
      cohort_size=round(run.q * len(CLIENTS)),
      rounds=ROUNDS,
      delta=1e-6,
      noise_multiplier=run.z,
      clipping=layer_clipping.LayerClipping(
        run.C,
        layer_bounds=run.bounds,
        quantile=run.gamma,
        adaptation_rate=run.eta_C,
      ),
    )
    config = federated.FederatedConfig(
      client_learning_rate=run.eta_loc,
      client_gradient_clip=run.C_loc,
      server_optimizer=run.optimizer,
      server_learning_rate=run.eta,
    )
    self._process = federated.build_learning_process(MODEL, config, plan)
    self._state = self._process.set_model_weights(
      self._process.initialize(),
      tff.learning.models.ModelWeights(seed_model()[1], []),
    )

  def step(self, cohort):
    """Returns weights after a round, and its metrics."""
    data = [dataset(CLIENTS[name]) for name in cohort]
    output = self._process.next(self._state, data)
    self._state = output.state
    weights = self._process.get_model_weights(output.state).trainable
    return [np.asarray(w) for w in weights], output.metrics


def dataset(batches):
  """A dataset of batches of different shapes."""
  datasets = [tf.data.Dataset.from_tensors(batch) for batch in batches]
  if not datasets:
    return dataset(CLIENTS['short']).take(0)
  return functools.reduce(lambda a, b: a.concatenate(b), datasets)


@functools.cache
def trained(run, cohorts):
  """Weights and metrics of the process after each round."""
  process = Process(run)
  return [process.step(cohort) for cohort in cohorts]


def distances(weights, others):
  """Greatest difference in each layer."""
  return np.array(
    [np.abs(a - b).max() for a, b in zip(weights, others, strict=True)]
  )


def cohorts_of(states):
  return tuple(tuple(state.cohort) for state in states)


@pytest.mark.parametrize('run', CASES.values(), ids=CASES)
def test_three_rounds_of_the_process_are_those_of_algorithm_1(run):
  states = oracle(run)
  rounds = trained(run, cohorts_of(states))
  for (weights, metrics), state in zip(rounds, states, strict=True):
    assert distances(weights, state.theta).max() < TOLERANCE
    if run.bounds == 'adaptive':
      bounds = metrics['aggregator']['dp_query_metrics']['bounds']
      np.testing.assert_allclose(bounds, state.C_h, rtol=TOLERANCE)
  # Every layer has moved by much more.
  _, begin = seed_model()
  assert distances(begin, states[-1].theta).min() > 20 * TOLERANCE


@pytest.mark.parametrize(
  'name', ['q', 'C', 'C_loc', 'eta', 'eta_loc', 'gamma', 'eta_C']
)
def test_a_setting_that_is_off_by_a_twentieth_breaks_equality(name):
  run = CASES['adaptive, LARS']
  cohorts = cohorts_of(oracle(run))
  wrong = dataclasses.replace(run, **{name: 1.05 * getattr(run, name)})
  states = oracle(wrong)
  assert cohorts_of(states) == cohorts
  weights, _ = trained(run, cohorts)[-1]
  assert distances(weights, states[-1].theta).max() > TOLERANCE


@pytest.mark.parametrize('run', BOUNDS.values(), ids=BOUNDS)
def test_one_client_is_within_all_bounds_and_another_beyond_some(run):
  """So that the rounds above clip some updates, and leave some as they are."""
  encoder, theta = seed_model()
  bounds = algorithm_1.initial(theta, run).C_h
  assert algorithm_1.norm(bounds) == pytest.approx(run.C)
  short, long = (
    np.array(
      [
        algorithm_1.norm(layer)
        for layer in algorithm_1.local_update(encoder, theta, CLIENTS[k], run)
      ]
    )
    for k in ('short', 'long')
  )
  assert np.all((short > 0.0) & (short < bounds))
  assert np.any(long > bounds)


def test_cohorts_differ_in_size_and_all_clients_are_in_one():
  cohorts = cohorts_of(oracle(RUN))
  assert len({len(cohort) for cohort in cohorts}) > 1
  assert set(CLIENTS) == set().union(*cohorts)


def test_the_noise_has_the_scale_of_algorithm_1():
  """6 standard errors of both norms of 23,000 coordinates are 4 %."""
  run = dataclasses.replace(BOUNDS['dim'], z=2.0)
  encoder, theta = seed_model()
  state = algorithm_1.one_round(
    encoder,
    algorithm_1.initial(theta, run),
    {name: [] for name in CLIENTS},
    run,
    np.random.default_rng(SEED),
  )
  _, metrics = Process(run).step([])
  measured = algorithm_1.norm(metrics['aggregator']['layer_norms'])
  assert sum(layer.size for layer in state.Delta) > 23_000
  assert measured == pytest.approx(algorithm_1.norm(*state.Delta), rel=0.04)
