"""The noise on integers has the distribution that its proof speaks of."""

import decimal
import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests.privacy.updates import FALSE_ALARM, has_variance, is_gaussian
from tff_asr.privacy.mechanism import discrete_gaussian

SCALE, RATIO, COLUMNS = 256, 128, 8192
HALF = COLUMNS // 2
DECIMAL = decimal.Decimal
MASSES = discrete_gaussian.masses()


@pytest.fixture(autouse=True)
def _digits():
  with decimal.localcontext() as context:
    context.prec = 80
    yield


def test_masses_are_the_discrete_gaussian_to_2_128():
  weights = [
    (DECIMAL(-k * k) / (2 * SCALE**2)).exp() for k in range(-20 * SCALE, 1)
  ]
  total = 2 * sum(weights) - 1
  assert sum(MASSES) == 2**128
  off = 0
  for k in range(-HALF, HALF):
    mass = 2**128 * weights[20 * SCALE - abs(k)] / total
    off += abs(MASSES[HALF + k] - mass)
  # Total variation is half of it; three draws make a coordinate.
  assert 3 * off / 2 < 2**128 * DECIMAL(2) ** -114
  assert min(k for k in range(-HALF, HALF) if MASSES[HALF + k]) < -12 * SCALE


def test_the_table_gives_each_value_its_mass_and_no_bit_is_lost():
  table = discrete_gaussian.table()
  height = 2**128 // COLUMNS
  found = [0] * COLUMNS
  for column in range(COLUMNS):
    end = ((int(table.high[column]) + 2**50) << 64) + (
      int(table.low[column]) + 2**63
    )
    assert 0 <= end < height
    found[column] += end
    found[HALF + int(table.other[column])] += height - end
  assert found == MASSES


@pytest.mark.parametrize(('spacing', 'scale'), [(128, 255.992), (1, 2)])
def test_a_gaussian_on_a_grid_weighs_as_much_wherever_it_lies(spacing, scale):
  """Step 1 of the proof, for the two grids that it is used for."""

  def weight(centre):
    reach = 14 * math.ceil(scale / spacing)
    return sum(
      (-(((k * spacing) - centre) ** 2) / (2 * DECIMAL(str(scale)) ** 2)).exp()
      for k in range(-reach, reach + 1)
    )

  weights = [weight(DECIMAL(spacing * i) / 16) for i in range(9)]
  assert max(weights) / min(weights) - 1 < DECIMAL(2) ** -110


def test_two_levels_are_a_discrete_gaussian_of_their_joint_scale():
  """Step 2, by the masses themselves: ratios to the middle, out to 7 scales."""

  def mass(value):
    terms = (
      MASSES[HALF + k] * MASSES[HALF + value - RATIO * k]
      for k in range(-HALF, HALF)
      if -HALF <= value - RATIO * k < HALF
    )
    return DECIMAL(sum(terms))

  scale = SCALE * math.sqrt(1 + RATIO**2)
  middle = mass(0)
  for value in (1, 63, 64, 5_000, int(3 * scale) + 17, int(-7 * scale)):
    exact = (-DECIMAL(value**2) / (2 * SCALE**2 * (1 + RATIO**2))).exp()
    # 2^-128 of a mass of 2^-36, each way, is what masses of 128 bits can have.
    assert abs(mass(value) / middle / exact - 1) < DECIMAL(2) ** -85


def test_the_standard_deviation_is_less_than_the_rounding_needs():
  joint = SCALE**2 * (1 + RATIO**2 + RATIO**4)
  least = decimal.Decimal(joint - 4).sqrt()
  assert least * (1 - DECIMAL(2) ** -38) < DECIMAL(discrete_gaussian.STDDEV)
  assert DECIMAL(discrete_gaussian.STDDEV) < least * (1 - DECIMAL(2) ** -42)


def noise(shape=(200_000,), seed=(1, 2)):
  (drawn,) = discrete_gaussian.add_noise(
    [tf.zeros(shape, tf.int64)], [tf.constant(seed, tf.int64)]
  )
  return drawn.numpy()


def test_noise_is_gaussian_of_its_scale():
  sample = noise()
  stddev = discrete_gaussian.STDDEV
  assert is_gaussian(sample, stddev, 2) and has_variance(sample, stddev, 2)
  assert not is_gaussian(1.05 * sample, stddev)


@pytest.mark.parametrize('bits', [1, 4, 8])
def test_the_lowest_bits_of_noise_are_uniform(bits):
  """No grid but that of the integers."""
  counts = np.bincount(noise(seed=(3, 4)) % 2**bits, minlength=2**bits)
  assert scipy.stats.chisquare(counts).pvalue > FALSE_ALARM


def test_noise_is_added_exactly_and_follows_its_seed():
  total = tf.constant([[0, 2**52 + 1], [-(2**60), 3]], tf.int64)
  seed = tf.constant([5, 6], tf.int64)
  (added,) = discrete_gaussian.add_noise([total], [seed])
  np.testing.assert_array_equal(added - total, noise((2, 2), (5, 6)))
  assert not np.array_equal(noise((9,), (5, 6)), noise((9,), (5, 7)))
  (nothing,) = discrete_gaussian.add_noise([tf.zeros([0], tf.int64)], [seed])
  assert nothing.shape == 0


def test_where_a_word_does_not_decide_the_next_one_does(monkeypatch):
  """Once in 2^51; here all words are alike, and tie with their column."""
  first, second = 5 + (7 << 13), -3
  high, low = np.full(COLUMNS, 7), np.full(COLUMNS, -3)
  words = iter([first, second] * 3)
  monkeypatch.setattr(
    discrete_gaussian,
    '_words',
    lambda shape, seed: tf.fill(shape, tf.constant(next(words), tf.int64)),
  )
  add = discrete_gaussian._add_noise.python_function
  total, seed = tf.zeros([1], tf.int64), tf.constant([0, 0], tf.int64)
  other = np.full(COLUMNS, 9)
  levels = 1 + RATIO + RATIO**2

  def drawn(low):
    return int(add(total, seed, *map(tf.constant, (high, low, other)))[0])

  assert drawn(low) == 9 * levels  # The lower part ends before -3.
  assert drawn(low + 1) == (5 - HALF) * levels
  assert drawn(low - 1) == 9 * levels


@pytest.mark.parametrize('in_graph', [False, True])
def test_noise_is_the_same_in_a_graph(in_graph):
  add = discrete_gaussian.add_noise
  if in_graph:
    add = tf.function(add)
  total, seed = tf.zeros([3], tf.int64), tf.constant([1, 1], tf.int64)
  np.testing.assert_array_equal(add([total], [seed])[0], noise((3,), (1, 1)))
