"""The noise is what the accountant assumes: Gaussian, of its scale, fresh.

Each check fails by chance at most once in a billion runs, and comes with noise
of a wrong scale (0.8 and 1.25 times; 0.9 and 1.1 times where only the variance
is looked at) that it must reject.
"""

import functools
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests.privacy.updates import (
  are_independent,
  has_mean_zero,
  has_variance,
  is_gaussian,
)
from tff_asr.privacy.mechanism import (
  allocation,
  gaussian_query,
  grouping,
  noise_seeds,
)

# Sizes at which a tenth of the scale is seen at the stated rate.
LAYERS = {'a': 20_000, 'b': 30_000, 'c': 25_000}
BOUNDS = [0.1, 1.0, 3.0]
MULTIPLIER = 0.7
COUNT = len(LAYERS)


def query(name='equal', seed=None):
  return gaussian_query.LayerClippedGaussianSumQuery(
    grouping.group(LAYERS),
    BOUNDS,
    MULTIPLIER,
    name,
    source=noise_seeds.SeedSource(seed),
  )


def nobody(a_query):
  """The sum over no clients."""
  return a_query.initial_sample_state(
    tuple(tf.zeros([n]) for n in LAYERS.values())
  )


def draw(a_query, state=None):
  """One round's noise on a sum of zeros, by layers, and the next state."""
  state = state or a_query.initial_global_state()
  result, state, _ = a_query.get_noised_result(nobody(a_query), state)
  return [np.asarray(t, np.float64) for t in result], state


@pytest.mark.parametrize('name', allocation.NAMES)
def test_noise_has_mean_scale_and_shape_on_every_layer(name):
  layers, _ = draw(query(name))
  stddevs = allocation.standard_deviations(
    name, MULTIPLIER, tf.constant(BOUNDS, tf.float64), list(LAYERS.values())
  ).numpy()
  for sample, stddev in zip(layers, stddevs, strict=True):
    assert has_mean_zero(sample, stddev, COUNT)
    assert has_variance(sample, stddev, COUNT)
    assert is_gaussian(sample, stddev, COUNT)
    for wrong in 0.9, 1.1:
      assert not has_variance(wrong * sample, stddev, COUNT)
    # 16 standard errors beyond the threshold; at 0.9 it would be 2.
    for wrong in 0.8, 1.25:
      assert not is_gaussian(wrong * sample, stddev, COUNT)
    assert not has_mean_zero(sample + 0.1 * stddev, stddev, COUNT)


def test_what_is_not_gaussian_is_noticed():
  uniform = np.random.default_rng(0).uniform(-1, 1, 20_000) * 3**0.5
  assert has_variance(uniform, 1.0)
  assert not is_gaussian(uniform, 1.0)
  logistic = scipy.stats.logistic(scale=3**0.5 / np.pi)
  assert not is_gaussian(logistic.rvs(60_000, random_state=0), 1.0)


def test_noise_is_independent_between_layers_rounds_and_builds():
  """A second build of the query stands for a resumed run."""
  first, state = draw(query())
  once_more = query()
  second, _ = draw(once_more, state)
  third, _ = draw(once_more, state)
  samples = np.array(
    [layer[:20_000] for r in (first, second, third) for layer in r]
  )
  assert are_independent(samples)
  assert not are_independent(np.array([samples[0], samples[0]]))
  mixed = 0.1 * samples[0] + samples[1]
  assert not are_independent(np.array([samples[0], mixed]))


def test_layers_of_one_size_do_not_share_their_noise():
  """Layers of other sizes would hide it: each reads its words elsewhere."""
  size, layers = 20_000, 3
  a_query = gaussian_query.LayerClippedGaussianSumQuery(
    grouping.group({f'{i}': size for i in range(layers)}),
    BOUNDS,
    MULTIPLIER,
  )
  zeros = a_query.initial_sample_state((tf.zeros([size]),) * layers)
  samples, _, _ = a_query.get_noised_result(
    zeros, a_query.initial_global_state()
  )
  assert are_independent(np.array(samples, np.float64))


def test_no_seed_of_a_program_makes_noise_repeat():
  """Neither eagerly nor in a graph that was made after seeding."""
  draws = []
  for _ in range(2):
    random.seed(1)
    tf.keras.utils.set_random_seed(1)
    (eager, _, _), _ = draw(query())
    in_graph = tf.function(functools.partial(draw_tensors, query()))
    draws.append([eager[:9], in_graph().numpy(), in_graph().numpy()])
  # Single numbers may be equal by chance: they are on a grid.
  samples = np.concatenate(draws)
  distances = np.abs(samples[:, None] - samples[None]).max(-1)
  assert np.all(distances[np.triu_indices(len(samples), 1)] > 0)


def draw_tensors(a_query):
  result, _, _ = a_query.get_noised_result(
    nobody(a_query), a_query.initial_global_state()
  )
  return result[0][:9]


_SECOND_PROCESS = """
import tensorflow as tf
from tff_asr.privacy.mechanism import noise_seeds
tf.keras.utils.set_random_seed(1)
seeds = noise_seeds.SeedSource().seeds(tf.constant(0, tf.int64), 3)
print(*seeds.numpy().ravel())
"""


def test_two_processes_never_draw_from_the_same_seed():
  paths = os.pathsep.join(p for p in sys.path if p)
  outputs = [
    subprocess.run(
      [sys.executable, '-c', _SECOND_PROCESS],
      env={**os.environ, 'PYTHONPATH': paths},
      capture_output=True,
      text=True,
      check=True,
    ).stdout.split()
    for _ in range(2)
  ]
  assert len(set(outputs[0] + outputs[1])) == 12


def test_forked_processes_would_not_share_their_noise(monkeypatch):
  """Same secret, same numbers of the runtime: the clock tells them apart."""
  monkeypatch.setattr(
    tf.raw_ops,
    'NonDeterministicInts',
    lambda shape, dtype: tf.zeros(shape, dtype),
  )
  source = noise_seeds.SeedSource()
  zero = tf.constant(0, tf.int64)
  assert not np.array_equal(source.seeds(zero, 1), source.seeds(zero, 1))


def test_seeds_are_secret_even_if_the_runtime_could_be_predicted(monkeypatch):
  monkeypatch.setattr(
    tf.raw_ops,
    'NonDeterministicInts',
    lambda shape, dtype: tf.zeros(shape, dtype),
  )
  monkeypatch.setattr(tf, 'timestamp', lambda: tf.constant(0.0, tf.float64))
  zero = tf.constant(0, tf.int64)
  seeds = [noise_seeds.SeedSource().seeds(zero, 1).numpy() for _ in range(50)]
  assert len(np.unique(seeds)) == 100
  # Every bit of the seed is a coin: over 50 of them, 0 or 50 is one in 2^44.
  bits = np.unpackbits(np.array(seeds).view(np.uint8).reshape(50, 16), axis=1)
  assert bits.any(axis=0).all() and not bits.all(axis=0).any()


def test_an_insecure_seed_repeats_by_round_and_only_then():
  first, state = draw(query(seed=3))
  again, _ = draw(query(seed=3))
  following, _ = draw(query(seed=3), state)
  other, _ = draw(query(seed=4))
  for layer in range(COUNT):
    np.testing.assert_array_equal(first[layer], again[layer])
    for different in following, other:
      assert not np.array_equal(first[layer], different[layer])
  assert are_independent(
    np.array([t[:20_000] for d in (first, following, other) for t in d])
  )
