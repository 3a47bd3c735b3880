"""Statistical checks here fail by chance at most once in a billion runs."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
import scipy.stats

from tff_asr.privacy.sampling import samplers

CLIENTS = [f'client{i}' for i in range(20)]
ROUNDS = 4_000
FALSE_ALARM = 1e-9


def inclusion(sample):
  """Bool `[rounds, clients]`."""
  rows = []
  for number in range(ROUNDS):
    cohort = sample(number)
    assert len(set(cohort)) == len(cohort)
    rows.append([c in cohort for c in CLIENTS])
  return np.array(rows)


def plausible(count, trials, probability, tests):
  result = scipy.stats.binomtest(int(count), trials, probability)
  return result.pvalue > FALSE_ALARM / tests


def test_poisson_includes_every_client_with_the_probability_independently():
  included = inclusion(samplers.poisson(CLIENTS, 0.3))
  for count in included.sum(axis=0):
    assert plausible(count, ROUNDS, 0.3, tests=20)
    assert not plausible(count, ROUNDS, 0.2, tests=20)
  for a, b in itertools.combinations(included.T, 2):
    assert plausible((a & b).sum(), ROUNDS, 0.09, tests=190)
  # Sizes vary as a binomial does; those of a fixed cohort would not.
  variance = included.sum(axis=1).var()
  assert variance == pytest.approx(20 * 0.3 * 0.7, rel=0.15)


@given(
  st.floats(0.01, 1.0),
  st.integers(0, 99),
  st.integers(1, 999),
  st.sets(st.sampled_from(CLIENTS)),
)
def test_one_draw_for_each_client_decides(probability, seed, number, away):
  """So a seed gives the same cohorts in every release of this project."""
  sample = samplers.poisson(
    CLIENTS, probability, seed, lambda client, _: client not in away
  )
  draws = np.random.default_rng([seed, number, 0]).random(len(CLIENTS))
  assert sample(number) == [
    client
    for client, draw in zip(CLIENTS, draws, strict=True)
    if draw < probability and client not in away
  ]


@given(st.integers(0, 99), st.integers(1, 999), st.integers(1, 20))
def test_a_permutation_decides_who_is_in_a_fixed_cohort(seed, number, size):
  order = np.random.default_rng([seed, number, 0]).permutation(len(CLIENTS))
  cohort = samplers.fixed_size(CLIENTS, size, seed)(number)
  assert cohort == [CLIENTS[i] for i in order[:size]]


def test_an_empty_cohort_is_a_cohort():
  sample = samplers.poisson(CLIENTS, 1e-3)
  assert any(not sample(number) for number in range(20))


def test_everyone_with_probability_one():
  assert samplers.poisson(CLIENTS, 1.0)(1) == CLIENTS


def test_fixed_size_is_fixed_and_fair():
  included = inclusion(samplers.fixed_size(CLIENTS, 6))
  assert set(included.sum(axis=1)) == {6}
  for count in included.sum(axis=0):
    assert plausible(count, ROUNDS, 0.3, tests=20)


@pytest.mark.parametrize('make', [samplers.poisson, samplers.fixed_size])
def test_chance_is_fresh_unless_seeded(make):
  amount = 0.5 if make is samplers.poisson else 10

  def draws(seed):
    sample = make(CLIENTS, amount, seed)
    return [sample(number) for number in range(10)]

  assert draws(None) != draws(None)
  assert draws(3) == draws(3) != draws(4)


@pytest.mark.parametrize('probability', [0.0, 1.1, float('nan')])
def test_a_probability_out_of_range_is_refused(probability):
  with pytest.raises(ValueError):
    samplers.poisson(CLIENTS, probability)


@pytest.mark.parametrize('size', [0, 21])
def test_a_size_out_of_range_is_refused(size):
  with pytest.raises(ValueError):
    samplers.fixed_size(CLIENTS, size)


def test_in_rotation_each_client_comes_once_in_a_period():
  sample = samplers.rotation(CLIENTS, 3)
  for start in 1, 2, 7:
    period = [sample(number) for number in range(start, start + 3)]
    assert sorted(itertools.chain(*period)) == sorted(CLIENTS)
  assert sample(1) == sample(4)


def test_nobodys_coming_or_going_moves_anybody_else():
  """So one client changes the sums of their own rounds alone."""
  sample = samplers.rotation(CLIENTS, 4)
  fewer = samplers.rotation(CLIENTS[1:], 4)
  for number in range(1, 9):
    assert set(sample(number)) - set(fewer(number)) <= {CLIENTS[0]}
    assert set(fewer(number)) <= set(sample(number))


def test_turns_are_about_equally_long():
  """10,000 clients in ten turns: 1,000 each, five standard errors are 150."""
  sample = samplers.rotation([f'{i}' for i in range(10_000)], 10)
  assert all(850 < len(sample(number)) < 1_150 for number in range(1, 11))


def test_a_period_is_at_least_a_round():
  with pytest.raises(ValueError, match='period of 0'):
    samplers.rotation(CLIENTS, 0)
