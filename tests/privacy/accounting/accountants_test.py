"""Epsilon against published figures, and the laws that it must keep.

`paper.csv` has every row of Pelikan et al. (2025) for which an epsilon is
printed: its order of Renyi DP, what that order gives, and the figures of
dp_accounting's two accountants.  `slip` marks four misprints of the paper.
"""

import csv
import math
import pathlib

import dp_accounting
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
from scipy import stats

from tests import plans
from tff_asr import errors
from tff_asr.privacy.accounting import accountants, calibration
from tff_asr.privacy.mechanism import layer_clipping
from tff_asr.privacy.sampling import schemes

ADD_OR_REMOVE = accountants.Relation.ADD_OR_REMOVE_ONE
DELTA = 1e-9

with open(pathlib.Path(__file__).parent / 'paper.csv', newline='') as file:
  PAPER = list(csv.DictReader(file))


def plan(multiplier, cohort, population, rounds, sampling='poisson'):
  return plans.make(
    population=population,
    cohort_size=cohort,
    rounds=rounds,
    delta=DELTA,
    noise_multiplier=multiplier,
    clipping=layer_clipping.LayerClipping(0.01),
    sampling=sampling,
  )


def of_row(row):
  sizes = (row[name] for name in ('cohort_size', 'population', 'rounds'))
  return plan(float(row['noise_multiplier']), *map(int, sizes))


def gaussian(multiplier, times=1, delta=1e-10):
  event = dp_accounting.GaussianDpEvent(multiplier)
  return accountants.epsilons(((event, times),), ADD_OR_REMOVE, delta)


@pytest.mark.parametrize('row', PAPER, ids=lambda row: row['printed'])
def test_the_papers_rows(row):
  """Both accountants to three digits; RDP is what the paper has, or less."""
  epsilons = of_row(row).epsilons()
  assert epsilons.rdp == pytest.approx(float(row['rdp']), rel=5e-3)
  if row['pld']:
    assert epsilons.pld == pytest.approx(float(row['pld']), rel=1e-3)
  if row['slip'] != 'yes':
    assert epsilons.rdp <= float(row['printed']) * 1.05


@pytest.mark.parametrize(
  'row', [r for r in PAPER if r['slip'] != 'yes'], ids=lambda r: r['printed']
)
def test_the_papers_digits_at_the_papers_order(row):
  """All 47 that are no slips, to one unit of the second digit."""
  the_plan = of_row(row)
  accountant = dp_accounting.rdp.RdpAccountant(
    [float(row['order'])], neighboring_relation=ADD_OR_REMOVE
  )
  accountant.compose(accountants.composed(the_plan.releases()))
  printed = float(row['printed'])
  unit = 10.0 ** (math.floor(math.log10(printed)) - 1)
  assert abs(accountant.get_epsilon(DELTA) - printed) <= unit


@pytest.mark.parametrize(
  ('rho', 'epsilon'),
  [
    (0.1506840301548885, 3.4240074094281336),
    (0.014342572340349278, 0.9935500950539097),
  ],
)
def test_googles_published_gboard_models(rho, epsilon):
  """zCDP rho and epsilon at 1e-10 of the es-ES and pt-BR language models."""
  assert gaussian(1 / math.sqrt(2 * rho)).pld == pytest.approx(epsilon, 1e-6)


def test_a_gboard_model_as_a_plan_without_amplification():
  """pt-BR: multiplier 8.35, each device at most twice, epsilon 0.994."""
  turns = plan(8.35, cohort=1, population=1_429, rounds=2_000, sampling='none')
  ((event, participations),) = turns.releases()
  assert participations == 2
  epsilons = gaussian(event.noise_multiplier, participations)
  assert epsilons.pld == pytest.approx(0.9935500950539097, rel=1e-6)


@pytest.mark.parametrize(
  ('row', 'rdp'),
  [
    ((2.048, 204_800, 6_950_600, 2_006), 23.760),
    ((0.6144, 204_800, 69_506_000, 2_034), 1_091.9),
    ((2.56, 256_000, 15_427_500, 2_013), 9.4954),
  ],
)
def test_a_fixed_cohort_is_not_accounted_for_as_a_poisson_one(row, rdp):
  """Replace-one neighbours, noise over 2 C: several times as much."""
  fixed = plan(*row, sampling='fixed').epsilons()
  assert fixed.rdp == pytest.approx(rdp, rel=1e-4)
  assert fixed.pld is None and fixed.best == fixed.rdp
  assert fixed.best > 4 * plan(*row).epsilons().best


def test_a_fixed_cohort_of_everybody_is_plain_composition():
  everybody = plan(1.0, 100, 100, 10, sampling='fixed').epsilons()
  replaced = gaussian(0.5, 10, DELTA)
  assert everybody.rdp == pytest.approx(replaced.rdp, rel=1e-6)


def test_without_chance_a_clients_rounds_are_composed():
  """Of an epsilon of 4.2 it makes 29, at 59 participations."""
  turns = plan(2.048, 204_800, 6_950_600, 2_006, sampling='none')
  ((_, participations),) = turns.releases()
  assert participations == math.ceil(2_006 / turns.sampling.turns) == 59
  assert turns.epsilons().pld == pytest.approx(29, abs=0.5)
  assert turns.releases(1) == ((turns.release(1).event, 1),)


PLANS = st.builds(
  lambda z, cohort, factor, rounds: plan(z, cohort, cohort * factor, rounds),
  st.floats(0.4, 8.0),
  st.integers(1, 10_000),
  st.integers(2, 1_000),
  st.integers(1, 3_000),
)


@settings(max_examples=20, deadline=None)
@given(PLANS)
def test_rdp_is_never_below_pld(the_plan):
  epsilons = the_plan.epsilons()
  assert epsilons.rdp is None or epsilons.rdp >= epsilons.pld
  assert epsilons.best == epsilons.pld


@settings(max_examples=12, deadline=None)
@given(PLANS, st.sampled_from(tuple(schemes.SCHEMES)))
def test_more_noise_and_fewer_rounds_or_clients_are_more_private(
  the_plan, sampling
):
  def epsilon(z=1.0, q=1, rounds=1):
    return plan(
      the_plan.noise_multiplier * z,
      the_plan.cohort_size,
      the_plan.population * q,
      the_plan.rounds * rounds,
      sampling,
    ).epsilons()

  base = epsilon()
  for name in 'rdp', 'pld':
    here = getattr(base, name)
    for other, sign in (
      (epsilon(z=1.5), -1),
      (epsilon(q=2), -1),
      (epsilon(rounds=2), 1),
    ):
      there = getattr(other, name)
      if here is not None and there is not None:
        # To the step to which PLD rounds, against us.
        assert sign * (there - here) >= -2e-3 * max(here, there)


@pytest.mark.parametrize('probability', [0.02, 0.25, 1.0])
def test_epsilon_never_falls_with_rounds_where_there_is_hardly_any_noise(
  probability,
):
  """The arithmetic of PLD fails at some numbers of rounds with some steps."""
  event = dp_accounting.PoissonSampledDpEvent(
    probability, dp_accounting.GaussianDpEvent(0.01)
  )
  found = [
    accountants.epsilons(((event, rounds),), ADD_OR_REMOVE, DELTA)
    for rounds in range(40, 52, 2)
  ]
  assert all(epsilons.pld is not None for epsilons in found)
  best = [epsilons.best for epsilons in found]
  assert best == sorted(best)


@pytest.mark.parametrize('delta', [0.0, 1.0, -1.0, 2.0, math.nan])
def test_a_delta_that_is_no_probability_is_refused(delta):
  with pytest.raises(errors.UserError, match=r'delta=.* must be more than 0'):
    accountants.epsilons(
      ((dp_accounting.GaussianDpEvent(1.0), 1),), ADD_OR_REMOVE, delta
    )


@settings(max_examples=8)
@given(
  st.floats(0.01, 0.5),
  st.floats(0.7, 3.0),
  st.integers(1, 200),
  st.integers(0, 20),
)
def test_both_bounds_are_those_of_dp_accounting(q, noise, rounds, others):
  """Of sampled and other releases together, up to the step of PLD."""
  event = dp_accounting.GaussianDpEvent(noise)
  sampled = dp_accounting.PoissonSampledDpEvent(q, event)
  found = accountants.merged([(sampled, rounds), (event, others)])
  ours = accountants.epsilons(found, ADD_OR_REMOVE, DELTA)
  rdp = dp_accounting.rdp.RdpAccountant(neighboring_relation=ADD_OR_REMOVE)
  pld = dp_accounting.pld.PLDAccountant(ADD_OR_REMOVE, 1e-4 * ours.pld)
  for accountant in rdp, pld:
    accountant.compose(accountants.composed(found))
  assert ours.rdp == pytest.approx(rdp.get_epsilon(DELTA), rel=1e-12)
  assert ours.pld == pytest.approx(pld.get_epsilon(DELTA), rel=1e-3)


def test_few_losses_are_computed_for_many_rounds(monkeypatch):
  """Otherwise epsilon would take longer than the training of a small round."""
  made = []
  module = accountants.privacy_loss_distribution
  make = module.from_gaussian_mechanism

  def from_gaussian_mechanism(*args, **kwargs):
    made.append(kwargs['value_discretization_interval'])
    return make(*args, **kwargs)

  monkeypatch.setattr(
    module, 'from_gaussian_mechanism', from_gaussian_mechanism
  )
  event = dp_accounting.PoissonSampledDpEvent(
    0.123, dp_accounting.GaussianDpEvent(1.23)
  )
  best = [
    accountants.epsilons(((event, rounds),), ADD_OR_REMOVE, DELTA).best
    for rounds in range(1, 81)
  ]
  assert best == sorted(best)
  assert len(made) == len(set(made)) <= 12


def test_nothing_released_costs_nothing_and_no_noise_costs_all():
  assert accountants.epsilons((), ADD_OR_REMOVE, DELTA).best == 0.0
  for event in (
    dp_accounting.NonPrivateDpEvent(),
    dp_accounting.GaussianDpEvent(0.0),
    dp_accounting.PoissonSampledDpEvent(
      0.1, dp_accounting.GaussianDpEvent(0.0)
    ),
  ):
    epsilons = accountants.epsilons(
      ((dp_accounting.GaussianDpEvent(5.0), 1), (event, 1)),
      ADD_OR_REMOVE,
      DELTA,
    )
    assert math.isinf(epsilons.best) and math.isinf(epsilons.rdp)
    assert accountants.text(epsilons.best) == 'none'


def test_different_releases_compose():
  """Two Gaussians are one whose precision is the sum of theirs."""
  events = tuple((dp_accounting.GaussianDpEvent(z), 1) for z in (1.0, 2.0))
  both = accountants.epsilons(events, ADD_OR_REMOVE, 1e-10)
  one = gaussian((1 + 1 / 4) ** -0.5)
  assert both.rdp == pytest.approx(one.rdp, rel=1e-6)
  assert both.pld == pytest.approx(one.pld, rel=1e-3)


def test_equal_events_are_counted_together():
  one, other = (dp_accounting.GaussianDpEvent(z) for z in (1.0, 2.0))
  merged = accountants.merged([(one, 1), (other, 2), (one, 3), (other, 0)])
  assert merged == ((one, 4), (other, 2))


@pytest.mark.parametrize(
  ('multiplier', 'q', 'rounds'), [(1e-6, 0.25, 40), (10.0, 1e-6, 10**6)]
)
def test_at_the_ends_of_arithmetic_one_accountant_is_left(
  multiplier, q, rounds
):
  event = dp_accounting.PoissonSampledDpEvent(
    q, dp_accounting.GaussianDpEvent(multiplier)
  )
  epsilons = accountants.epsilons(((event, rounds),), ADD_OR_REMOVE, DELTA)
  assert (epsilons.rdp is None) != (epsilons.pld is None)
  assert 0 < epsilons.best < math.inf


def test_what_no_accountant_can_tell_is_refused():
  event = dp_accounting.SampledWithoutReplacementDpEvent(
    10**9, 1, dp_accounting.GaussianDpEvent(1e200)
  )
  with pytest.raises(errors.UserError, match='cannot be computed'):
    accountants.epsilons(((event, 1),), accountants.Relation.REPLACE_ONE, DELTA)


def test_sampling_a_fixed_number_is_never_worse_than_taking_all():
  """Nor is it where the bound for sampling is loose, or lost to rounding."""
  for noise in 4.0, 64.0, 300.0, 1e6:
    event = dp_accounting.GaussianDpEvent(noise)
    everybody = accountants.epsilons(
      ((event, 50),), accountants.Relation.REPLACE_ONE, DELTA
    )
    for population in 11, 10**9:
      sampled = dp_accounting.SampledWithoutReplacementDpEvent(
        population, 10, event
      )
      found = accountants.epsilons(
        ((sampled, 50),), accountants.Relation.REPLACE_ONE, DELTA
      )
      assert 0.0 < found.best <= everybody.best


def exact(noise_multiplier, epsilon):
  """Delta of a single Gaussian (Balle and Wang, 2018, theorem 8)."""
  mean, shift = 0.5 / noise_multiplier, epsilon * noise_multiplier
  return stats.norm.cdf(mean - shift) - math.exp(epsilon) * stats.norm.cdf(
    -mean - shift
  )


@given(
  noise_multiplier=st.floats(0.3, 30.0),
  exponents=st.tuples(st.floats(-20.0, -2.0), st.floats(-20.0, -2.0)),
  sampling=st.sampled_from([1.0, 0.3, 0.01]),
  rounds=st.sampled_from([1, 40]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_epsilon_is_the_smaller_bound_and_falls_as_delta_grows(
  noise_multiplier, exponents, sampling, rounds
):
  event = dp_accounting.PoissonSampledDpEvent(
    sampling, dp_accounting.GaussianDpEvent(noise_multiplier)
  )
  found = [
    accountants.epsilons(((event, rounds),), ADD_OR_REMOVE, 10.0**exponent)
    for exponent in sorted(exponents)
  ]
  for one in found:
    assert one.best == min(e for e in (one.rdp, one.pld) if e is not None)
  assert found[0].best >= found[1].best


@given(st.floats(0.3, 30.0), st.floats(-30.0, -2.0))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_epsilon_is_never_below_that_of_a_gaussian(noise, exponent):
  delta = 10.0**exponent
  epsilon = gaussian(noise, delta=delta).best
  # Where delta is tiny both terms of the exact one are, and their difference
  # is known to so many digits only.
  assert exact(noise, epsilon) <= delta * (1 + 1e-6)


@pytest.mark.parametrize('delta', [1e-13, 1e-14, 1e-15, 1e-16])
def test_a_target_is_met_by_the_smaller_bound(delta):
  event = dp_accounting.PoissonSampledDpEvent

  def releases(noise):
    return ((event(0.01, dp_accounting.GaussianDpEvent(noise)), 500),)

  noise = calibration.noise_multiplier(releases, ADD_OR_REMOVE, 3.0, delta)
  found = accountants.epsilons(releases(noise), ADD_OR_REMOVE, delta)
  assert found.best <= 3.0
  # No more noise than either accountant alone would ask for.
  less = accountants.epsilons(releases(noise * 0.999), ADD_OR_REMOVE, delta)
  assert less.best > 2.97 or found.best < found.rdp
  assert less.rdp > 3.0 - 1e-3
