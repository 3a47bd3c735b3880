"""Clients who are there at some hours only, drop out, or are selected in vain.

Statistical checks here fail by chance at most once in a billion runs, or as
they say.
"""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import scipy.stats

from tests import plans
from tff_asr import errors
from tff_asr.privacy import plan_words
from tff_asr.privacy.mechanism import layer_clipping
from tff_asr.privacy.sampling import available_hours, samplers, schemes

CLIENTS = [f'client{i}' for i in range(400)]
NIGHT = available_hours.Daily(hours=8.0, rounds_a_day=24)
PLAN = plans.make(
  population=400,
  cohort_size=40,
  rounds=48,
  delta=1e-6,
  noise_multiplier=1.0,
  clipping=layer_clipping.LayerClipping(0.5),
)
FALSE_ALARM = 1e-9


@given(
  st.floats(0.1, 23.9),
  st.integers(2, 300),
  st.integers(-1_000, 1_000),
  st.text(max_size=9),
)
@settings(deadline=None)
def test_a_client_is_there_for_the_share_of_every_day(
  hours, rounds, first, name
):
  """Wherever the day begins."""
  try:
    daily = available_hours.Daily(hours, rounds)
  except errors.UserError:
    window = round(hours / 24.0 * rounds)
    assert not 1 <= window < rounds
    return
  there = [daily.is_available(name, first + number) for number in range(rounds)]
  assert np.mean(there) == pytest.approx(daily.share)
  assert daily.share == pytest.approx(hours / 24.0, abs=0.5 / rounds + 1e-9)
  # Without a break, but for that between two days.
  assert sum(a != b for a, b in itertools.pairwise(there)) <= 2


def test_more_clients_are_there_at_one_time_of_the_day_than_at_another():
  counts = [
    sum(NIGHT.is_available(c, number) for c in CLIENTS) for number in range(24)
  ]
  assert sum(counts) == 24 * len(CLIENTS) / 3
  assert max(counts) > 2 * min(counts) > 0


@pytest.mark.parametrize(
  ('hours', 'rounds'), [(0.0, 24), (24.0, 24), (np.nan, 24), (1.0, 4), (8.0, 1)]
)
def test_hours_that_are_none_are_refused(hours, rounds):
  with pytest.raises(errors.UserError, match='`hours='):
    available_hours.Daily(hours, rounds)


@pytest.mark.parametrize('kind', ['poisson', 'fixed'])
def test_nobody_takes_part_who_is_not_there(kind):
  """And over a day, cohorts are as large as was asked for."""
  drawn = schemes.named(kind)(
    population=400, cohort_size=40, availability=NIGHT
  )
  sample = drawn.cohorts(CLIENTS)
  sizes = []
  for number in range(24 * 40):
    cohort = sample(number)
    assert all(NIGHT.is_available(c, number) for c in cohort)
    sizes.append(len(cohort))
  # Poisson: of 960 rounds with a variance of at most 40, 6 standard errors.
  assert np.mean(sizes) == pytest.approx(40, abs=6 * (40 / 960) ** 0.5)


def test_each_is_in_a_round_with_the_probability_that_is_accounted_for():
  """In those rounds in which they are there."""
  plan = plans.changed(PLAN, availability=NIGHT, over_selection=1.5)
  assert plan.sampling.probability == pytest.approx(1.5 * 40 / 400 * 3)
  assert plan.release(1).event.sampling_probability == plan.sampling.probability
  sample, drawn, rounds = plan.cohorts(CLIENTS), 0, 240
  for number in range(rounds):
    drawn += len(sample(number))
  there = rounds * len(CLIENTS) // 3
  found = scipy.stats.binomtest(drawn, there, plan.sampling.probability)
  assert found.pvalue > FALSE_ALARM
  assert scipy.stats.binomtest(drawn, there, 0.3).pvalue < FALSE_ALARM


@pytest.mark.parametrize('kind', ['poisson', 'fixed'])
def test_all_who_are_selected_are_accounted_for_and_the_mean_stays(kind):
  plan = plans.changed(PLAN, sampling=kind, over_selection=1.25)
  larger = plans.changed(PLAN, sampling=kind, cohort_size=50)
  assert plan.epsilons() == larger.epsilons()
  assert plan.expected_cohort == 40
  sizes = [len(plan.cohorts(CLIENTS)(number)) for number in range(200)]
  # Poisson: 6 standard errors of a variance of at most 50.
  assert np.mean(sizes) == pytest.approx(50, abs=3.0)
  words = ' '.join(plan_words.text(plan).split())
  assert '1.25 clients are selected for each' in words


def test_clients_drop_out_by_chance_and_independently_of_the_selection():
  sample = samplers.with_drop_out(lambda number: CLIENTS, 0.2)
  found = [set(sample(number)) for number in range(100)]
  answered = sum(map(len, found))
  total = 100 * len(CLIENTS)
  assert scipy.stats.binomtest(answered, total, 0.8).pvalue > FALSE_ALARM
  assert len({frozenset(f) for f in found}) == 100
  seeded = [
    samplers.with_drop_out(samplers.poisson(CLIENTS, 0.5, seed=1), 0.2, seed=1)
    for _ in range(2)
  ]
  rounds = [[s(number) for number in range(200)] for s in seeded]
  assert rounds[0] == rounds[1]
  # The same chance for both ends would let everyone answer who is selected.
  total = sum(map(len, rounds[0]))
  whole = sum(
    len(samplers.poisson(CLIENTS, 0.5, seed=1)(n)) for n in range(200)
  )
  assert scipy.stats.binomtest(total, whole, 0.8).pvalue > FALSE_ALARM
  assert samplers.with_drop_out(lambda number: CLIENTS, 0.0)(1) == CLIENTS
  with pytest.raises(ValueError, match='share'):
    samplers.with_drop_out(lambda number: CLIENTS, 1.0)


@pytest.mark.parametrize(
  ('bad', 'message'),
  [
    (dict(over_selection=0.9), 'at least 1'),
    (dict(over_selection=np.nan), 'at least 1'),
    (dict(over_selection=11.0), 'more than the population'),
    (dict(over_selection=4.0, availability=NIGHT), 'clients are available'),
    (dict(sampling='none', over_selection=1.5), 'turns'),
    (dict(sampling='none', availability=NIGHT), 'turns'),
    (dict(sampling='fixed', availability=NIGHT), 'accountant'),
  ],
)
def test_what_cannot_be_accounted_for_or_drawn_is_refused(bad, message):
  with pytest.raises(errors.UserError, match=message):
    plans.changed(PLAN, **bad)
