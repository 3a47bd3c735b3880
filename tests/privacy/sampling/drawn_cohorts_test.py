"""The cohorts that a run draws have the distribution that is accounted for.

Probabilities and sizes come from the accountant's event, cohorts from the
sampler that the program has.  Binomial tests are exact, and all that one test
does fails by chance at most once in a billion runs.
"""

import itertools

import numpy as np
import pytest
import scipy.stats

from tests import plans
from tff_asr.privacy import settings
from tff_asr.privacy.mechanism import gaussian, layer_clipping
from tff_asr.privacy.sampling import available_hours, samplers, schemes

CLIENTS = [f'client{i}' for i in range(24)]
DRAWS = 3_000
FALSE_ALARM = 1e-9
DAY = available_hours.Daily(hours=12.0, rounds_a_day=4)
CONFIG = settings.PrivacyConfig(
  sampling=schemes.SamplingSettings(sampling='poisson', cohort_size=6),
  mechanism=gaussian.Gaussian(
    clipping=layer_clipping.LayerClipping(0.1), noise_multiplier=1.0
  ),
  budget=settings.Budget(delta=1e-6),
)
# Of which rounds cohorts are drawn.  Clients are there at the same hour of
# every day, or are not.
CALLS = {
  'one round again': [3] * DRAWS,
  'round after round': list(range(1, DRAWS + 1)),
  'an hour of each day': list(range(1, 4 * DRAWS, 4)),
}


def sampler(config, source='config'):
  """The sampler of the program, or of the plan alone, and the event."""
  plan = config.plan(len(CLIENTS), rounds=DRAWS)
  event = plan.release(1).event
  if source == 'plan':
    return plan.cohorts(CLIENTS), event
  return config.cohorts(plan, CLIENTS), event


def drawn(sample, calls):
  """Who is in the cohort of each call, bool `[calls, clients]`."""
  rows = []
  for number in calls:
    cohort = sample(number)
    assert len(set(cohort)) == len(cohort) and set(cohort) <= set(CLIENTS)
    rows.append(np.isin(CLIENTS, cohort))
  return np.array(rows)


class Checks:
  """Exact binomial tests; together they have one rate of false alarms."""

  def __init__(self):
    self._tests = []

  def add(self, what, count, trials, probability):
    """Expects a count of independent events of one probability."""
    probability = min(1.0, float(probability))
    found = scipy.stats.binomtest(int(count), int(trials), probability)
    self._tests.append((found.pvalue, what))

  def failed(self):
    """What is not as expected."""
    least = FALSE_ALARM / len(self._tests)
    return {what for pvalue, what in self._tests if pvalue < least}


def add_sizes(checks, included, trials, probability):
  """Sizes are binomial: so often at most 0, at most 1, and so on."""
  sizes = included.sum(axis=1)
  for most in range(trials):
    expected = scipy.stats.binom.cdf(most, trials, probability)
    checks.add('sizes', np.sum(sizes <= most), len(sizes), expected)


def add_successors(checks, included, probability):
  """Who is in a cohort says nothing of who is in the next one."""
  for start in 0, 1:  # The pairs of each are disjoint.
    first = included[start:-1:2]
    second = included[start + 1 :: 2]
    both = np.sum(first & second)
    checks.add('successors', both, first.size, probability**2)


def unlike_poisson(included, probability):
  """In which way draws are not those that Poisson sampling gives."""
  checks = Checks()
  size, clients = included.shape
  add_sizes(checks, included, clients, probability)
  for client in included.T:
    checks.add('clients', client.sum(), size, probability)
  for a, b in itertools.combinations(included.T, 2):
    checks.add('pairs', np.sum(a & b), size, probability**2)
  add_successors(checks, included, probability)
  return checks.failed()


@pytest.mark.parametrize('source', ['plan', 'config'])
@pytest.mark.parametrize('calls', CALLS)
@pytest.mark.parametrize(
  'changes',
  [
    dict(),
    dict(over_selection=1.5),
    dict(client_drop_out=0.3, over_selection=1.25),
    dict(availability=DAY, client_drop_out=0.2),
  ],
  ids=['plain', 'over-selection', 'drop-out', 'availability'],
)
def test_poisson_cohorts_are_independent_of_all_else(changes, calls, source):
  """Of other clients, other rounds and other calls; sizes vary as they must."""
  if 'availability' in changes and calls == 'round after round':
    calls = 'an hour of each day'
  config = plans.changed_privacy(CONFIG, **changes)
  sample, event = sampler(config, source)
  included = drawn(sample, CALLS[calls])
  hour = CALLS[calls][0]
  there = np.array(
    [
      not config.sampling.availability or DAY.is_available(c, hour)
      for c in CLIENTS
    ]
  )
  assert not included[:, ~there].any() and there.sum() > 8
  answer = 1.0 if source == 'plan' else 1.0 - config.client_drop_out
  probability = event.sampling_probability * answer
  assert not unlike_poisson(included[:, there], probability)


def kept_for_two_rounds(sample):
  """A fault: rounds 1 and 2 have one draw, and so on."""
  kept = {}
  return lambda number: kept.setdefault((number + 1) // 2, sample(number))


def kept_for_a_round(sample):
  """A fault: whoever asks again for a round gets what was drawn before."""
  kept = {}
  return lambda number: kept.setdefault(number, sample(number))


def in_pairs(sample):
  """A fault: two neighbours are both in a cohort, or neither."""

  def paired(number):
    chosen = sample(number)
    return [c for i, c in enumerate(CLIENTS) if CLIENTS[i - i % 2] in chosen]

  return paired


@pytest.mark.parametrize(
  ('fault', 'calls', 'expected'),
  [
    (kept_for_two_rounds, 'round after round', 'successors'),
    (kept_for_a_round, 'one round again', 'successors'),
    (in_pairs, 'round after round', 'pairs'),
    (
      lambda _: samplers.fixed_size(CLIENTS, 6),
      'round after round',
      'sizes',
    ),
    (
      lambda _: samplers.with_drop_out(
        samplers.fixed_size(CLIENTS, 12, seed=1), 0.5, seed=1
      ),
      'round after round',
      'sizes',
    ),
    (
      lambda _: samplers.poisson(CLIENTS, 0.33),
      'round after round',
      'clients',
    ),
  ],
)
def test_the_checks_notice_what_is_not_poisson(fault, calls, expected):
  """The one that differs by little has a seed: by chance it would pass."""
  sample = fault(sampler(CONFIG)[0])
  assert expected in unlike_poisson(drawn(sample, CALLS[calls]), 0.25)


@pytest.mark.parametrize('source', ['plan', 'config'])
@pytest.mark.parametrize('calls', ['one round again', 'round after round'])
def test_fixed_cohorts_have_their_size_and_all_sets_are_equally_likely(
  calls, source
):
  """Each anew; all 15 sets of 2 in 6 clients."""
  config = plans.changed_privacy(
    CONFIG, sampling='fixed', cohort_size=1, over_selection=2.0
  )
  plan = config.plan(6, rounds=DRAWS)
  event = plan.release(1).event
  assert (event.source_dataset_size, event.sample_size) == (6, 2)
  few = CLIENTS[:6]
  made = plan.cohorts(few) if source == 'plan' else config.cohorts(plan, few)
  sets = [frozenset(made(number)) for number in CALLS[calls]]
  assert {len(cohort) for cohort in sets} == {2}
  checks = Checks()
  for pair in itertools.combinations(few, 2):
    checks.add('sets', sets.count(frozenset(pair)), DRAWS, 1 / 15)
  for start in 0, 1:
    pairs = list(zip(sets[start:-1:2], sets[start + 1 :: 2], strict=False))
    checks.add('successors', sum(a == b for a, b in pairs), len(pairs), 1 / 15)
  assert not checks.failed()


def test_clients_of_a_fixed_cohort_drop_out_independently():
  config = plans.changed_privacy(
    CONFIG, sampling='fixed', cohort_size=8, client_drop_out=0.25
  )
  sample, event = sampler(config)
  included = drawn(sample, CALLS['round after round'])
  checks = Checks()
  add_sizes(checks, included, event.sample_size, 0.75)
  share = event.sample_size / len(CLIENTS) * 0.75
  add_successors(checks, included, share)
  for client in included.T:
    checks.add('clients', client.sum(), DRAWS, share)
  assert not checks.failed()


def test_fixed_cohorts_are_of_those_who_are_there():
  """Where nothing is promised: no accountant knows this sampling."""
  config = plans.changed_privacy(
    CONFIG,
    **dict(sampling='fixed', cohort_size=3, availability=DAY),
    **dict(clipping=None, noise_multiplier=0.0),
  )
  calls = CALLS['an hour of each day']
  included = drawn(config.cohorts(None, CLIENTS), calls)
  there = np.array([DAY.is_available(c, calls[0]) for c in CLIENTS])
  assert set(included.sum(axis=1)) == {3} and not included[:, ~there].any()
  checks = Checks()
  for client in included[:, there].T:
    checks.add('clients', client.sum(), DRAWS, 3 / there.sum())
  assert not checks.failed()
