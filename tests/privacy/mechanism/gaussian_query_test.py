"""Sensitivity and robustness of the clipped sum."""

import fractions
import math

import dp_accounting
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf

from tests.privacy.updates import (
  BAD_VALUES,
  BOUNDS,
  by_group,
  contribution,
  GROUPS,
  norm,
  SHAPES,
  spoilt,
  updates,
)
from tff_asr import tracing
from tff_asr.privacy.mechanism import (
  allocation,
  discrete_gaussian,
  gaussian_query,
)
from tff_asr.privacy.mechanism import grouping as groups

CASES = settings(max_examples=40, deadline=None)
GROUPINGS = pytest.mark.parametrize('grouping', GROUPS)
MODES = pytest.mark.parametrize('mode', ['clip', 'normalise'])


def make(grouping, bounds, multiplier=0.0, **kwargs):
  layers = GROUPS[grouping]
  return gaussian_query.LayerClippedGaussianSumQuery(
    layers, bounds[: len(layers.names)], multiplier, **kwargs
  )


def total(bounds):
  return norm(np.array(bounds, np.float64))


@GROUPINGS
@CASES
@given(updates(), st.lists(BOUNDS, min_size=3, max_size=3))
def test_no_group_of_a_client_is_longer_than_its_bound(
  grouping, update, bounds
):
  groups = GROUPS[grouping]
  clipped = contribution(make(grouping, bounds), update)
  bounds = bounds[: len(groups.names)]
  parts = by_group(clipped, groups.members)
  for tensors, bound in zip(parts, bounds, strict=True):
    assert norm(tensors) <= bound
  assert norm(clipped) <= total(bounds)


@GROUPINGS
@MODES
@pytest.mark.parametrize('multiplier', [0.0, 1.0])
@settings(max_examples=10, deadline=None)
@given(updates(), st.just(0.0) | BAD_VALUES)
def test_a_model_of_many_tensors_is_clipped_to_the_same_bits(
  grouping, mode, multiplier, update, value
):
  """The graph of a large model calls functions, the graph of a small not."""
  update = [np.array(t) for t in update]
  update[-1].flat[0] += value
  query = make(grouping, [0.1, 2.0, 1.0], multiplier, mode=mode)
  few = contribution(query, update)
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(tracing, '_FEW_TENSORS', 0)
    many = contribution(query, update)
  for a, b in zip(few, many, strict=True):
    np.testing.assert_array_equal(a, b)


def squared_multipliers(query, update, members):
  """1 / z^2 of each group: squared length over variance, no rounding."""
  variance = fractions.Fraction(discrete_gaussian.STDDEV) ** 2
  return [
    sum(int(n) ** 2 for t in tensors for n in np.ravel(t)) / variance
    for tensors in by_group(contribution(query, update), members)
  ]


@GROUPINGS
@MODES
@pytest.mark.parametrize('noise_allocation', allocation.NAMES)
@CASES
@given(
  updates(), st.lists(BOUNDS, min_size=3, max_size=3), st.floats(1e-5, 100.0)
)
def test_a_client_costs_at_most_what_is_accounted_for(
  grouping, mode, noise_allocation, update, bounds, multiplier
):
  """In integers, as sent: 1 / z^2 is the most, for any update and noise."""
  if mode == 'normalise' and noise_allocation != 'equal':
    return
  query = make(
    grouping,
    bounds,
    multiplier,
    mode=mode,
    noise_allocation=noise_allocation,
  )
  found = squared_multipliers(query, update, GROUPS[grouping].members)
  assert sum(found) <= 1 / fractions.Fraction(multiplier) ** 2


@CASES
@given(
  updates(st.floats(-(2.0**-10), 2.0**-10, width=32)), st.floats(0.01, 10.0)
)
def test_the_grid_is_finer_than_any_noise(update, multiplier):
  """A coordinate is sent to 2^-22 of the noise, towards zero."""
  query = make('tensor', [1.0, 1.0, 1.0], multiplier)
  step = multiplier * math.sqrt(3.0) / discrete_gaussian.STDDEV
  sent = contribution(query, update)
  for tensor, before in zip(sent, update, strict=True):
    lost = np.abs(before.astype(float)) - np.abs(tensor.numpy()) * step
    assert np.all(lost < step * (1 + 1e-9))
    assert np.all(lost >= -1e-9 * step)


@GROUPINGS
@CASES
@given(updates(), st.lists(BOUNDS, min_size=3, max_size=3))
def test_a_normalised_update_is_within_the_total_bound(
  grouping, update, bounds
):
  """The sensitivity that equal noise assumes; single bounds need not hold."""
  clipped = contribution(make(grouping, bounds, mode='normalise'), update)
  assert norm(clipped) <= total(bounds[: len(GROUPS[grouping].names)])


@pytest.mark.parametrize('factor', np.linspace(0.9, 1.8, 19))
def test_an_update_just_above_the_total_bound_is_normalised(factor):
  """Spread over the layers, so that each is about at its own bound."""
  bounds = [1.0, 2.0, 3.0]
  update = [
    np.full(shape, factor * bound / math.sqrt(math.prod(shape)), np.float32)
    for shape, bound in zip(SHAPES, bounds, strict=True)
  ]
  sent = contribution(make('tensor', bounds, mode='normalise'), update)
  assert norm(sent) <= total(bounds)
  assert norm(sent) == pytest.approx(min(factor, 1.0) * total(bounds))


def test_normalising_scales_up_and_clipping_does_not():
  """The code published with the paper, and the paper."""
  update = [np.full(SHAPES[0], 5.0, 'f'), np.zeros(5, 'f'), np.float32(1e-3)]
  bounds = [1.0, 1.0, 1.0]
  normalised = contribution(make('tensor', bounds, mode='normalise'), update)
  assert norm(normalised[:1]) == pytest.approx(1.0)
  assert norm(normalised[1:2]) == 0.0
  assert norm(normalised[2:]) == pytest.approx(1.0)
  clipped = contribution(make('tensor', bounds), update)
  assert norm(clipped[:1]) == pytest.approx(1.0)
  assert clipped[2].numpy() == np.float32(1e-3)


def test_an_update_within_the_total_bound_is_not_normalised():
  """So a layer may exceed its own bound, which unequal noise assumes."""
  update = [np.zeros(SHAPES[0], 'f'), np.zeros(5, 'f'), np.float32(1.5)]
  kept = contribution(make('tensor', [1.0] * 3, mode='normalise'), update)
  assert kept[2].numpy() == 1.5
  for unequal in 'per_layer', 'optimal':
    with pytest.raises(ValueError, match='equal noise only'):
      make('tensor', [1.0] * 3, mode='normalise', noise_allocation=unequal)


@CASES
@given(updates(st.floats(-1, 1, width=32)))
def test_a_layer_within_its_bound_is_untouched_others_keep_direction(update):
  clipped = contribution(make('tensor', [0.5, 9.0, 9.0]), update)
  # Subnormal numbers may be flushed to zero.
  for untouched in 1, 2:
    np.testing.assert_allclose(
      clipped[untouched], update[untouched], rtol=0, atol=1.2e-38
    )
  before = norm(update[:1])
  if before > 0.5:
    np.testing.assert_allclose(
      clipped[0], 0.5 / before * update[0], rtol=1e-5, atol=1e-30
    )


@GROUPINGS
@MODES
def test_an_enormous_update_is_clipped_and_not_lost(grouping, mode):
  """The square of 1e30 is no float32."""
  update = [np.full(s, -1e30, 'f') for s in SHAPES]
  clipped = contribution(make(grouping, [2.0, 2.0, 2.0], mode=mode), update)
  for tensors in by_group(clipped, GROUPS[grouping].members):
    assert norm(tensors) == pytest.approx(2.0, rel=1e-5)
    assert all(np.all(t < 0) for t in tensors)


@MODES
@CASES
@given(updates(), BAD_VALUES, st.integers(0, 2))
def test_an_update_that_is_not_finite_contributes_zero(
  mode, update, bad, layer
):
  query = make('tensor', [1.0, 1.0, 1.0], mode=mode)
  assert norm(contribution(query, spoilt(update, bad, layer))) == 0.0


@MODES
@settings(max_examples=10, deadline=None)
@given(st.lists(updates(), min_size=2, max_size=4), BAD_VALUES)
def test_one_client_more_or_less_moves_the_sum_by_at_most_the_bound(
  mode, clients, bad
):
  bounds = [0.1, 0.2, 0.3]
  query = make('tensor', bounds, 0.5, mode=mode)
  most = int(discrete_gaussian.STDDEV / 0.5)
  clients = [*clients, spoilt(clients[0], bad, 1)]

  def summed(clients):
    state = query.initial_sample_state([np.zeros(s, 'f') for s in SHAPES])
    for client in clients:
      state = query.accumulate_preprocessed_record(
        state, list(contribution(query, client))
      )
    return state

  whole = summed(clients)
  for left_out in range(len(clients)):
    fewer = summed(clients[:left_out] + clients[left_out + 1 :])
    moved = [(a - b).numpy().ravel() for a, b in zip(whole, fewer, strict=True)]
    assert sum(int(n) ** 2 for t in moved for n in t) <= most**2


# Of 50,000 clients, the first bring a sum in float32 close to 2^14.  Up to
# there the small ones that follow are rounded to 2^-10, then to 2^-9.
BIG, SMALL, ONE = np.float32(1.0), np.float32(1.2 * 2**-10), np.float32(1.25)
BIG_CLIENTS, SMALL_CLIENTS = 2**14 - 1, 50_000 - 2**14 + 1


def test_one_of_50_000_clients_moves_the_sum_by_no_more_than_its_bound():
  query = gaussian_query.LayerClippedGaussianSumQuery(
    groups.group({'a': 1}), [ONE], 2.0
  )
  big, small, one = (
    contribution(query, [np.full([1], value)])[0] for value in (BIG, SMALL, ONE)
  )

  @tf.function
  def summed(first):
    total = query.accumulate_preprocessed_record(
      query.initial_sample_state(tf.zeros([1])), first
    )
    for count, record in (BIG_CLIENTS, big), (SMALL_CLIENTS, small):
      for _ in tf.range(count):
        total = query.accumulate_preprocessed_record(total, record)
    return total

  moved = int(summed(one)[0] - summed(tf.zeros_like(one))[0])
  assert moved == int(one[0]) <= discrete_gaussian.STDDEV / 2.0
  assert moved == pytest.approx(discrete_gaussian.STDDEV / 2.0, rel=1e-6)


def test_a_sum_in_float32_would_be_moved_by_more():
  """So the clients above are such as would show a sum that is rounded."""

  def summed(first):
    total = first
    for count, value in (BIG_CLIENTS, BIG), (SMALL_CLIENTS, SMALL):
      for _ in range(count):
        total += value
    return total

  assert summed(ONE) - summed(np.float32(0.0)) > 1.5 * ONE


def test_the_event_is_one_gaussian_of_the_joint_multiplier():
  query = make('block', [3.0, 4.0], 2.0)
  state = query.initial_global_state()
  _, new_state, event = query.get_noised_result(
    query.initial_sample_state(tuple(tf.zeros(s) for s in SHAPES)), state
  )
  assert event == dp_accounting.GaussianDpEvent(2.0)
  assert (int(state.draw), int(new_state.draw)) == (0, 1)


@pytest.mark.parametrize(
  ('bounds', 'multiplier'),
  [
    ([1.0, 1.0], 1.0),
    ([1.0, 1.0, 0.0], 1.0),
    ([1.0, 1.0, math.inf], 1.0),
    ([1.0, 1.0, math.nan], 1.0),
    ([1.0] * 3, -1.0),
    ([1.0] * 3, math.nan),
    ([1.0] * 3, 9e-6),
    ([1.0] * 3, 2e9),
    ([1.0, 1.0, 2e-38], 1.0),
    ([1.0, 1.0, 1e38], 0.0),
  ],
)
def test_what_bounds_nothing_is_refused(bounds, multiplier):
  with pytest.raises(ValueError):
    make('tensor', bounds, multiplier)


def test_an_update_of_another_model_is_refused():
  with pytest.raises(ValueError, match='2 tensors'):
    contribution(make('tensor', [1.0] * 3), [np.zeros(3, 'f')] * 2)
