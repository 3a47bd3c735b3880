"""What is found meets the target, and a little less would not."""

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from tests import plans
from tff_asr import errors
from tff_asr.privacy.accounting import calibration
from tff_asr.privacy.mechanism import layer_clipping
from tff_asr.privacy.sampling import schemes

PLAN = plans.make(
  population=6_950_600,
  cohort_size=204_800,
  rounds=2_006,
  delta=1e-9,
  noise_multiplier=2.048,
  clipping=layer_clipping.LayerClipping(0.01),
)


@settings(max_examples=8, deadline=None)
@given(
  st.floats(0.05, 200.0),
  st.sampled_from(tuple(schemes.SCHEMES)),
  st.integers(10, 1_000),
)
def test_the_noise_meets_the_target_from_below(epsilon, sampling, population):
  plan = plans.changed(
    PLAN, population=population, cohort_size=10, rounds=50, sampling=sampling
  ).with_noise_for(epsilon)
  assert plan.epsilons().best <= epsilon
  less = plans.changed(plan, noise_multiplier=0.999 * plan.noise_multiplier)
  assert less.epsilons().best > epsilon


def test_the_papers_noise_is_found_again():
  """What 2.048 costs by PLD needs 2.048."""
  found = PLAN.with_noise_for(PLAN.epsilons().best)
  assert found.noise_multiplier == pytest.approx(2.048, rel=3e-4)


def test_noise_covers_what_other_runs_released():
  spent = PLAN.releases(1_000)
  alone = PLAN.with_noise_for(5.0)
  after = PLAN.with_noise_for(5.0, spent)
  assert after.noise_multiplier > 1.1 * alone.noise_multiplier


def test_a_target_that_is_spent_already_cannot_be_met():
  noisy = plans.changed(PLAN, noise_multiplier=0.5)
  for others in (
    noisy.releases(),
    plans.changed(PLAN, noise_multiplier=0.0).releases(),
  ):
    with pytest.raises(errors.UserError, match='earlier runs is'):
      PLAN.with_noise_for(1.0, others)


def epsilon_of(population):
  return plans.changed(PLAN, population=population).epsilons().best


def test_the_least_population():
  found = calibration.least_integer(
    lambda k: plans.changed(PLAN, population=k).releases(),
    PLAN.relation,
    2.0,
    PLAN.delta,
    PLAN.cohort_size,
    10**9 - 1,
  )
  assert epsilon_of(found) <= 2.0 < epsilon_of(found - 1)


def test_the_least_of_all_may_do_and_the_greatest_may_not():
  def releases(rounds):
    return PLAN.releases(rounds)

  arguments = (PLAN.relation, 10.0, PLAN.delta)
  assert calibration.least_integer(releases, *arguments, 5, 9) == 5
  with pytest.raises(errors.UserError, match='Nothing up to 9'):
    calibration.least_integer(lambda n: PLAN.releases(10**6), *arguments, 5, 9)
