"""Sensitivity, noise and robustness of the clipped Gaussian sum.

Statistical checks fail by chance at most once in a million runs, and each comes
with noise of a wrong scale that it must reject.
"""

import math

import dp_accounting
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tff_asr.privacy import gaussian_query

SHAPES = [(3, 4), (5,), ()]
FALSE_ALARM = 1e-6

# Values that break careless arithmetic, and ordinary ones.
VALUES = st.one_of(
  st.floats(-10, 10, width=32),
  st.sampled_from([0.0, 1e30, -1e30, 3e38, 1e-30, 1e-45]),
)
BAD_VALUES = st.sampled_from([math.nan, math.inf, -math.inf])


@st.composite
def updates(draw, values=VALUES):
  return [
    np.array(
      draw(st.lists(values, min_size=(n := math.prod(s)), max_size=n)),
      np.float32,
    ).reshape(s)
    for s in SHAPES
  ]


def contribution(query, update):
  params = query.derive_sample_params(query.initial_global_state())
  record = query.preprocess_record(params, tuple(map(tf.constant, update)))
  return [np.asarray(t, np.float64) for t in record]


def norm(tensors):
  return math.sqrt(sum(float(np.sum(np.square(t))) for t in tensors))


@settings(max_examples=60, deadline=None)
@given(updates(), st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3))
def test_no_client_contributes_more_than_the_bounds(update, bounds):
  query = gaussian_query.LayerClippedGaussianSumQuery(bounds, 0.0)
  clipped = contribution(query, update)
  for tensor, bound in zip(clipped, bounds, strict=True):
    assert norm([tensor]) <= bound
  assert norm(clipped) <= query.sensitivity
  assert query.sensitivity == pytest.approx(norm(map(np.float64, bounds)))


@settings(max_examples=30, deadline=None)
@given(updates(), st.floats(1e-6, 1e6))
def test_the_whole_update_can_be_one_layer(update, bound):
  query = gaussian_query.LayerClippedGaussianSumQuery([bound], 0.0, [0, 0, 0])
  clipped = contribution(query, update)
  assert norm(clipped) <= bound == query.sensitivity


@settings(max_examples=30, deadline=None)
@given(updates(st.floats(-1, 1, width=32)))
def test_a_layer_within_its_bound_is_untouched_others_keep_direction(update):
  query = gaussian_query.LayerClippedGaussianSumQuery([0.5, 9.0, 9.0], 0.0)
  clipped = contribution(query, update)
  # Subnormal numbers may be flushed to zero.
  for untouched in 1, 2:
    np.testing.assert_allclose(
      clipped[untouched], update[untouched], rtol=0, atol=1.2e-38
    )
  before = norm([update[0].astype(np.float64)])
  if before > 0.5:
    np.testing.assert_allclose(
      clipped[0], 0.5 / before * update[0], rtol=1e-5, atol=1e-30
    )


@settings(max_examples=30, deadline=None)
@given(updates(), BAD_VALUES, st.integers(0, 2))
def test_an_update_that_is_not_finite_contributes_zero(update, bad, layer):
  update[layer] = np.where(
    np.arange(update[layer].size).reshape(update[layer].shape) == 0,
    np.float32(bad),
    update[layer],
  )
  query = gaussian_query.LayerClippedGaussianSumQuery([1.0, 1.0, 1.0], 0.0)
  assert norm(contribution(query, update)) == 0.0


def test_one_client_more_moves_the_sum_by_at_most_the_sensitivity():
  rng = np.random.default_rng(0)
  query = gaussian_query.LayerClippedGaussianSumQuery([0.1, 0.2, 0.3], 0.0)
  clients = [
    [(10.0 * rng.normal(size=s)).astype(np.float32) for s in SHAPES]
    for _ in range(10)
  ]

  def total(clients):
    parts = [contribution(query, c) for c in clients]
    return [sum(p) for p in zip(*parts, strict=True)]

  for left_out in range(10):
    fewer = total(clients[:left_out] + clients[left_out + 1 :])
    moved = [a - b for a, b in zip(total(clients), fewer, strict=True)]
    assert norm(moved) <= query.sensitivity * (1 + 1e-9)


def noise(stddev, shapes, draws=1):
  """Noise on a sum of zeros, as the query adds it: `[draws, coordinates]`."""
  query = gaussian_query.LayerClippedGaussianSumQuery(
    [1.0] * len(shapes), stddev
  )
  zeros = tuple(tf.zeros(s) for s in shapes)

  @tf.function
  def draw():
    result, _, _ = query.get_noised_result(zeros, query.initial_global_state())
    return tf.concat([tf.reshape(t, [-1]) for t in result], 0)

  return np.array([draw().numpy() for _ in range(draws)], np.float64)


def has_variance(sample, stddev, tests=1):
  """Chi-square test of the variance around zero, two-sided, one of `tests`."""
  statistic = np.sum(np.square(sample)) / stddev**2
  tail = FALSE_ALARM / 2 / tests
  low, high = scipy.stats.chi2.ppf([tail, 1 - tail], sample.size)
  return low <= statistic <= high


def is_gaussian(sample, stddev):
  return scipy.stats.kstest(sample / stddev, 'norm').pvalue > FALSE_ALARM


def test_noise_has_the_stated_variance_on_every_coordinate():
  """Each coordinate is tested over draws, at a rate shared by all of them."""
  stddev, coordinates = 0.7, 18
  sample = noise(stddev, SHAPES, draws=3_000)
  assert sample.shape == (3_000, coordinates)
  for coordinate in sample.T:
    assert has_variance(coordinate, stddev, tests=coordinates)
    for wrong in 0.8, 1.25:
      assert not has_variance(coordinate, wrong * stddev, tests=coordinates)


def test_noise_is_gaussian_with_the_stated_scale():
  sample = noise(0.3, [(300, 400)])[0]
  assert is_gaussian(sample, 0.3) and has_variance(sample, 0.3)
  for wrong in 0.9, 1.1:
    assert not is_gaussian(sample, wrong * 0.3)
    assert not has_variance(sample, wrong * 0.3)
  uniform = np.random.default_rng(0).uniform(-1, 1, sample.size) * 3**0.5 * 0.3
  assert not is_gaussian(uniform, 0.3)


def test_noise_is_independent_between_layers_and_draws():
  """Six correlations of std 1/sqrt(20,000); beyond 5.5 std: 2.3e-7 in all."""
  sample = noise(1.0, [(20_000,), (20_000,)], draws=2).reshape(4, -1)
  correlations = np.corrcoef(sample)[np.triu_indices(4, 1)]
  assert np.abs(correlations).max() < 5.5 / math.sqrt(20_000)


def test_noise_is_fresh_whatever_the_global_seed():
  draws = []
  for _ in range(2):
    tf.random.set_seed(1)
    with tf.Graph().as_default():
      query = gaussian_query.LayerClippedGaussianSumQuery([1.0], 1.0)
      result, _, _ = query.get_noised_result(
        (tf.zeros([9]),), query.initial_global_state()
      )
      with tf.compat.v1.Session() as session:
        draws.append(session.run(result[0]))
  assert not np.isclose(*draws).any()


def test_the_event_is_one_gaussian_of_the_joint_multiplier():
  query = gaussian_query.LayerClippedGaussianSumQuery([3.0, 4.0], 10.0)
  _, _, event = query.get_noised_result(
    (tf.zeros([2]), tf.zeros([2])), query.initial_global_state()
  )
  assert event == dp_accounting.GaussianDpEvent(2.0)


@pytest.mark.parametrize(
  'arguments',
  [
    ([], 1.0),
    ([1.0, 0.0], 1.0),
    ([math.inf], 1.0),
    ([math.nan], 1.0),
    ([1.0], -1.0),
    ([1.0], math.nan),
    ([1.0, 1.0], 1.0, [0, 0]),
  ],
)
def test_what_bounds_nothing_is_refused(arguments):
  with pytest.raises(ValueError):
    gaussian_query.LayerClippedGaussianSumQuery(*arguments)
