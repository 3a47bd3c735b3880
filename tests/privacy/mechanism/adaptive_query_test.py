"""Adaptive bounds: sensitivity of the clip bits, budget, and where they go."""

import math

import dp_accounting
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_privacy as tfp

from tests.privacy.updates import (
  BAD_VALUES,
  contribution,
  GROUPS,
  has_variance,
  norm,
  SHAPES,
  spoilt,
  updates,
)
from tff_asr.privacy.mechanism import (
  adaptive_query,
  discrete_gaussian,
  grouping,
)

CASES = settings(max_examples=40, deadline=None)


def make(bounds, multiplier=0.0, clients=10.0, grouping='tensor', **kwargs):
  return adaptive_query.AdaptiveLayerClippedGaussianSumQuery(
    GROUPS[grouping], bounds, multiplier, clients, **kwargs
  )


@CASES
@given(updates(), st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3))
def test_the_bits_of_a_client_have_the_stated_length(update, bounds):
  """At most sqrt(H) / 2, so that adding a client moves their sum by no more.

  Over the noise on their sum, of 3.0, since they are in steps of a grid.
  """
  sent = contribution(make(bounds, 1.0, count_stddev=3.0), update)
  over_noise = sent.bits.numpy() / discrete_gaussian.STDDEV
  assert len(set(np.abs(over_noise))) == 1
  assert norm([over_noise]) <= math.sqrt(3) / 2 / 3.0
  assert norm([over_noise]) == pytest.approx(math.sqrt(3) / 2 / 3.0, rel=1e-5)


@CASES
@given(updates(), BAD_VALUES, st.integers(0, 2))
def test_a_client_that_is_not_finite_sends_no_bits(update, bad, layer):
  sent = contribution(make([1.0] * 3), spoilt(update, bad, layer))
  assert norm([sent.bits]) == norm(sent.update) == 0.0


def test_noise_on_the_counts_has_a_limit():
  with pytest.raises(ValueError, match='clip counts'):
    make([1.0] * 3, 1.0, count_stddev=2.0**22)


def test_every_noise_of_a_round_has_a_seed_of_its_own(monkeypatch):
  """Noise on the clip counts as well: equal seeds give equal noise."""
  used, real = [], discrete_gaussian.add_noise

  def add_noise(sums, seeds):
    used.extend(tuple(np.array(seed)) for seed in seeds)
    return real(sums, seeds)

  monkeypatch.setattr(discrete_gaussian, 'add_noise', add_noise)
  query = make([1.0] * 3, 1.0, count_stddev=3.0)
  state = query.initial_global_state()
  for _ in range(2):
    empty = query.initial_sample_state([tf.zeros(shape) for shape in SHAPES])
    _, state, _ = query.get_noised_result(empty, state)
  assert len(used) == len(set(used)) == 2 * (len(SHAPES) + 1)


def test_bits_say_which_groups_are_within_their_bounds():
  update = [np.full(SHAPES[0], 1.0, 'f'), np.zeros(5, 'f'), np.float32(2.0)]
  sent = contribution(make([1.0, 1.0, 2.0]), update)
  assert list(np.sign(sent.bits)) == [-1, 1, 1]


@CASES
@given(st.floats(1e-3, 10), st.floats(1e-3, 1e3), st.integers(1, 400))
def test_update_and_bits_together_cost_what_is_accounted_for(
  multiplier, count_stddev, layers
):
  """z^-2 = z_update^-2 + (2 sigma_b / sqrt(H))^-2."""
  bits = count_stddev / (math.sqrt(layers) / 2)
  if bits <= multiplier:
    with pytest.raises(ValueError, match='at least'):
      adaptive_query.update_multiplier(multiplier, count_stddev, layers)
    return
  update = adaptive_query.update_multiplier(multiplier, count_stddev, layers)
  assert update > multiplier or bits > 1e5 * multiplier
  joint = (update**-2 + bits**-2) ** -0.5
  assert joint == pytest.approx(multiplier, rel=1e-6)


@CASES
@given(st.floats(1e-3, 10), st.floats(1, 1e5), st.integers(1, 400))
def test_the_bits_take_at_most_a_tenth_of_the_budget(
  multiplier, clients, layers
):
  stddev = adaptive_query.default_count_stddev(multiplier, clients, layers)
  assert stddev >= clients / 20
  update = adaptive_query.update_multiplier(multiplier, stddev, layers)
  assert (multiplier / update) ** 2 >= 0.9 - 1e-9


def noised(query, sent, state=None):
  state = state or query.initial_global_state()
  return query.get_noised_result(sent, state)


def test_noise_on_update_and_counts_is_as_accounted_for():
  """Counts by what they do to the bounds; 1,000 layers, one coordinate each.

  The bits have the multiplier 0.7, so the update's is 0.714, not 0.5.
  """
  layers = grouping.group({f'{i}': 1 for i in range(1_000)})
  count_stddev = 0.7 * math.sqrt(1_000) / 2
  query = adaptive_query.AdaptiveLayerClippedGaussianSumQuery(
    layers, [0.1] * 1_000, 0.5, 1e3, rate=1.0, count_stddev=count_stddev
  )
  zeros = tuple(tf.zeros([]) for _ in range(1_000))
  total, state, event = noised(query, query.initial_sample_state(zeros))
  assert event == dp_accounting.GaussianDpEvent(0.5)
  stddev = (0.5**-2 - 0.7**-2) ** -0.5 * 0.1 * math.sqrt(1_000)
  assert has_variance(np.array(total), stddev)
  moved = -np.log(state.bounds.numpy() / 0.1)
  assert has_variance(moved, count_stddev / 1e3)
  for wrong in 0.7, 1.4:
    assert not has_variance(np.array(total), wrong * stddev)
    assert not has_variance(moved, wrong * count_stddev / 1e3)


def rounds(query, clients, number):
  @tf.function
  def one(state):
    sent = [
      query.preprocess_record(query.derive_sample_params(state), client)
      for client in clients
    ]
    total = tf.nest.map_structure(lambda *t: tf.add_n(t), *sent)
    return query.get_noised_result(total, state)[1]

  state = query.initial_global_state()
  for _ in range(number):
    state = one(state)
  return state.bounds.numpy()


@pytest.mark.parametrize('quantile', [0.3, 0.5, 0.8])
def test_bounds_find_the_quantile_of_each_layers_norms(quantile):
  """From far away, without noise, in steps of a fifth."""
  rng = np.random.default_rng(0)
  scales = [1e-3, 1.0, 40.0]
  clients = [
    tuple(
      tf.constant(s * rng.lognormal(size=shape), tf.float32)
      for s, shape in zip(scales, SHAPES, strict=True)
    )
    for _ in range(30)
  ]
  query = make([1.0] * 3, clients=30.0, quantile=quantile)
  found = rounds(query, clients, 120)
  for layer, bound in enumerate(found):
    norms = [norm([client[layer]]) for client in clients]
    within = np.mean(np.array(norms) <= bound)
    assert abs(within - quantile) <= 0.1


def test_one_group_does_as_tensorflow_privacys_query_does():
  """Without noise, bound by bound."""
  rng = np.random.default_rng(1)
  clients = [
    tuple(tf.constant(rng.normal(size=s), tf.float32) for s in SHAPES)
    for _ in range(6)
  ]
  ours = make([0.5], clients=6.0, grouping='model', quantile=0.4)
  theirs = tfp.QuantileAdaptiveClipSumQuery(
    initial_l2_norm_clip=0.5,
    noise_multiplier=0.0,
    target_unclipped_quantile=0.4,
    learning_rate=0.2,
    clipped_count_stddev=0.0,
    expected_num_records=6.0,
    geometric_update=True,
  )
  state = theirs.initial_global_state()
  for number in range(1, 8):
    params = theirs.derive_sample_params(state)
    total = theirs.initial_sample_state(clients[0])
    for client in clients:
      total = theirs.accumulate_record(params, total, client)
    _, state, _ = theirs.get_noised_result(total, state)
    (expected,) = theirs.derive_metrics(state).values()
    (bound,) = rounds(ours, clients, number)
    assert bound == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize('counts', [-(10**9), 10**9])
def test_wild_counts_move_bounds_by_a_step_and_within_reason(counts):
  """Whatever the noise: a share of clients is between 0 and 1."""
  start = [1e-10, 1.0, 1e10]
  query = make(start, quantile=0.3, rate=0.5)
  sent = query.initial_sample_state(tuple(tf.zeros(s) for s in SHAPES))
  _, state, _ = noised(query, sent._replace(bits=sent.bits + counts))
  step = math.exp(-0.5 * 0.7 if counts > 0 else 0.5 * 0.3)
  expected = [b * step for b in start]
  expected = [max(expected[0], 1e-10), expected[1], min(expected[2], 1e10)]
  np.testing.assert_allclose(state.bounds, expected, rtol=1e-12)


def test_nobodys_bits_tell_nothing():
  """An empty cohort counts as half within the bound."""
  query = make([1.0, 2.0, 3.0], quantile=0.5)
  zeros = tuple(tf.zeros(s) for s in SHAPES)
  _, state, _ = noised(query, query.initial_sample_state(zeros))
  np.testing.assert_allclose(state.bounds, [1.0, 2.0, 3.0])
