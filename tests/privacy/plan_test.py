import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from tff_asr import errors
from tff_asr.privacy import plan as plan_lib

PLAN = plan_lib.PrivacyPlan(
  population=100,
  cohort_size=10,
  clip_norm=0.5,
  noise_multiplier=1.0,
  delta=1e-6,
)


@pytest.mark.parametrize(
  ('multiplier', 'cohort', 'population', 'rounds', 'epsilon'),
  [
    (0.6144, 204_800, 69_506_000, 2_034, 7.2228),
    (2.048, 204_800, 6_950_600, 2_006, 4.4393),
    (1.536, 51_200, 1_737_650, 2_006, 6.5062),
    (0.6144, 204_800, 695_060_000, 3_390, 3.6994),
    (2.56, 51_200, 1_737_650, 2_006, 3.3849),
  ],
)
def test_epsilon_of_the_papers_runs(
  multiplier, cohort, population, rounds, epsilon
):
  """Table 1 of the paper, whose epsilons (7.2, 4.5, ...) are rounded up."""
  plan = plan_lib.PrivacyPlan(population, cohort, 0.01, multiplier, 1e-9)
  assert plan.epsilon(rounds) == pytest.approx(epsilon, rel=1e-4)


def test_epsilon_grows_with_rounds_and_cohort_and_falls_with_noise():
  base = PLAN.epsilon(100)
  assert PLAN.epsilon(200) > base > PLAN.epsilon(50)
  assert dataclasses.replace(PLAN, cohort_size=20).epsilon(100) > base
  assert dataclasses.replace(PLAN, noise_multiplier=2.0).epsilon(100) < base
  assert PLAN.epsilon(0) == 0.0


def test_without_noise_there_is_no_guarantee_and_the_plan_says_so():
  plan = dataclasses.replace(PLAN, noise_multiplier=0.0)
  assert plan.epsilon(1) == math.inf
  assert 'No privacy' in str(plan)


def test_a_larger_population_keeps_the_noise_on_the_mean():
  scaled = PLAN.at_scale(1_000)
  assert scaled.sampling_probability == PLAN.sampling_probability
  on_mean = [p.noise_stddev / p.cohort_size for p in (PLAN, scaled)]
  assert on_mean[0] == pytest.approx(on_mean[1])
  assert scaled.epsilon(100) < PLAN.epsilon(100)


@pytest.mark.parametrize('clipping', ['per_layer', 'global'])
@pytest.mark.parametrize('layer_bounds', ['uniform', 'dim'])
def test_the_query_adds_the_noise_the_accountant_assumes(
  clipping, layer_bounds
):
  """Whatever the clipping, C bounds a client and the denominator is S."""
  plan = dataclasses.replace(
    PLAN, clipping=clipping, layer_bounds=layer_bounds, noise_multiplier=0.0
  )
  query = plan.query([4, 1])
  state = query.initial_global_state()
  params = query.derive_sample_params(state)
  record = query.preprocess_record(
    params, (tf.fill([4], 1e3), tf.constant(1e3))
  )
  mean, _, _ = query.get_noised_result(record, state)
  norm = float(tf.linalg.global_norm(mean)) * plan.cohort_size
  assert norm == pytest.approx(plan.clip_norm, rel=1e-5)


def test_the_noise_on_the_mean_is_that_of_the_sum_over_the_expected_cohort():
  """30,000 coordinates: 5 standard errors of the std are 2 %."""
  query = PLAN.query([30_000])
  mean, _, event = query.get_noised_result(
    (tf.zeros([30_000]),), query.initial_global_state()
  )
  expected = PLAN.noise_multiplier * PLAN.clip_norm / PLAN.cohort_size
  assert np.std(mean[0]) == pytest.approx(expected, rel=0.0205)
  assert event.noise_multiplier == pytest.approx(PLAN.noise_multiplier)


@pytest.mark.parametrize(
  'bad',
  [
    dict(cohort_size=101),
    dict(cohort_size=0),
    dict(clip_norm=0.0),
    dict(clip_norm=math.inf),
    dict(clip_norm=math.nan),
    dict(noise_multiplier=-1.0),
    dict(noise_multiplier=math.nan),
    dict(noise_multiplier=1e-170),
    dict(delta=0.0),
    dict(delta=1.0),
    dict(clipping='none'),
    dict(layer_bounds='nonsense'),
  ],
)
def test_a_plan_that_cannot_be_kept_cannot_be_made(bad):
  with pytest.raises(errors.UserError, match=next(iter(bad))):
    dataclasses.replace(PLAN, **bad)


def test_the_plan_speaks_in_words():
  text = str(PLAN)
  for part in ('100 clients', '0.1', 'multiplier 1', 'delta 1e-06', 'seed'):
    assert part in text
