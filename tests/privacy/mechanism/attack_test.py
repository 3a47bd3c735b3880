"""An attack that reads membership from the noise itself.

The attacker knows the sum without a client, subtracts it from the released sum,
and asks whether the generator of the noise can have drawn the rest.
TensorFlow's float32 normal takes the radius of two neighbouring coordinates
from 23 bits: it is one of 2^23, and in the tail these lie much farther apart
than float32 rounds.
"""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests.privacy.updates import FALSE_ALARM
from tff_asr.privacy.mechanism import (
  discrete_gaussian,
  gaussian_query,
  grouping,
)

COORDINATES = 200_000
# Of the standard deviation of the noise: beyond it gaps are wide.
TAIL = 3.0


def distance_to_the_generator(rest: np.ndarray, stddev: float) -> float:
  """P-value of radii being anywhere, not those of 23 bits."""
  pairs = np.asarray(rest, np.float64).reshape(-1, 2) / stddev
  squares = np.sum(np.square(pairs), axis=1)
  steps = 2.0**23 * np.exp(-squares[squares > TAIL**2] / 2.0)
  return scipy.stats.kstest(steps % 1.0, 'uniform').pvalue


def is_member(released, without, stddev) -> bool:
  """Whether the sum without the client is found not to be the true one."""
  return distance_to_the_generator(released - without, stddev) > FALSE_ALARM


@pytest.fixture(scope='module')
def sums():
  """A sum over others, and the update of one client, of norm 1."""
  rng = np.random.default_rng(0)
  others = rng.normal(size=COORDINATES) / COORDINATES**0.5
  client = rng.normal(size=COORDINATES)
  return others, client / np.linalg.norm(client)


@pytest.mark.parametrize('multiplier', [2.048, 20.0, 100.0])
def test_it_finds_who_was_there_under_noise_in_float32(sums, multiplier):
  """So it would find this in the noise of this project, were it there."""
  others, client = sums
  seed = tf.constant([1, 2], tf.int64)
  noise = tf.random.stateless_normal([COORDINATES], seed, alg='philox')
  for update in np.zeros_like(client), client:
    total = tf.constant(others + update, tf.float32)
    released = (total + np.float32(multiplier) * noise).numpy()
    found = is_member(released, np.float32(others), multiplier)
    assert found == bool(np.any(update))


@pytest.mark.parametrize('multiplier', [2.048, 20.0, 100.0])
def test_it_finds_nothing_in_what_is_released(sums, multiplier):
  others, client = sums
  query = gaussian_query.LayerClippedGaussianSumQuery(
    grouping.group({'a': COORDINATES}), [1.0], multiplier
  )
  state = query.initial_global_state()
  params = query.derive_sample_params(state)
  step = float(params.steps[0])
  without = query.preprocess_record(params, [np.float32(others)])
  with_client = query.accumulate_record(params, without, [np.float32(client)])
  for total in without, with_client:
    released = query.get_noised_result(total, state)[0][0].numpy()
    # Alike under both hypotheses, and the rest is a whole number of steps.
    rest = released - without[0].numpy() * step
    assert distance_to_the_generator(rest, multiplier) > FALSE_ALARM


def test_what_is_released_lies_on_a_grid_whoever_was_there(sums):
  """In steps, before float32: membership changes integers by integers."""
  query = gaussian_query.LayerClippedGaussianSumQuery(
    grouping.group({'a': COORDINATES}), [1.0], 2.048
  )
  params = query.derive_sample_params(query.initial_global_state())
  (record,) = query.preprocess_record(params, [np.float32(sums[1])])
  assert record.dtype == tf.int64
  (noised,) = discrete_gaussian.add_noise(
    [record], [tf.constant([1, 2], tf.int64)]
  )
  assert noised.dtype == tf.int64
