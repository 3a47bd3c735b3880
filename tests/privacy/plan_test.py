"""The plan makes all parts agree, and cannot be made where they would not."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from tests import plans
from tff_asr import errors
from tff_asr.privacy import plan_words
from tff_asr.privacy.mechanism import (
  allocation,
  bounds,
  grouping,
  layer_clipping,
)
from tff_asr.privacy.sampling import schemes

CLIPPING = layer_clipping.LayerClipping(0.5)
PLAN = plans.make(
  population=100,
  cohort_size=10,
  rounds=50,
  delta=1e-6,
  noise_multiplier=1.0,
  clipping=CLIPPING,
)
CLIENTS = [f'client{i}' for i in range(100)]
LAYERS = {'a/kernel': 4, 'a/bias': 1}


def changed(**changes):
  """The plan with other settings, of its clipping too."""
  own = {f.name for f in dataclasses.fields(CLIPPING)}
  clipping = {k: v for k, v in changes.items() if k in own}
  rest = {k: v for k, v in changes.items() if k not in own}
  return plans.changed(
    PLAN, clipping=dataclasses.replace(CLIPPING, **clipping), **rest
  )


def on_the_mean(plan):
  return plan.mechanism.noise_stddev / plan.expected_cohort


def test_epsilon_grows_with_rounds_and_is_nothing_before():
  assert PLAN.epsilons().best == PLAN.epsilons(50).best
  assert PLAN.epsilons(100).best > PLAN.epsilons().best > PLAN.epsilons(1).best
  assert PLAN.epsilons(0).best == 0.0


@pytest.mark.parametrize(
  'changes', [dict(noise_multiplier=0.0), dict(insecure_noise_seed=3)]
)
def test_without_fresh_noise_there_is_no_guarantee_and_the_plan_says_so(
  changes,
):
  plan = changed(**changes)
  assert not plan.is_guarantee
  assert plan.epsilons(1).best == math.inf
  assert 'No privacy guarantee' in plan_words.text(
    plan
  ) and 'none' in plan_words.text(plan)


def test_other_sizes_keep_the_noise_on_the_mean_and_are_only_hypothetical():
  other = PLAN.hypothetical(cohort_size=1_000, population=20_000)
  on_mean = [on_the_mean(p) for p in (PLAN, other)]
  assert on_mean[0] == pytest.approx(on_mean[1])
  assert other.epsilons().best < PLAN.epsilons().best
  same = PLAN.hypothetical(PLAN.cohort_size, PLAN.population)
  assert same == PLAN


@pytest.mark.parametrize('sampling', tuple(schemes.SCHEMES))
@pytest.mark.parametrize(
  'sizes', [(64, 10, 100_000, 2_000), (100, 30, 1_000, 7), (10, 10, 99, 40)]
)
def test_the_noise_on_the_mean_stays_however_clients_are_sampled(
  sizes, sampling
):
  """In turns, 10 of 64 are 10.67 in each of six rounds."""
  population, cohort_size, other_population, other_size = sizes
  plan = changed(
    sampling=sampling, population=population, cohort_size=cohort_size
  )
  other = plan.hypothetical(other_size, other_population)
  assert other.cohort_size == other_size
  assert other.population == other_population
  on_mean = [on_the_mean(p) for p in (plan, other)]
  assert on_mean[1] == pytest.approx(on_mean[0], rel=1e-12)


def test_the_hypothetical_noise_is_what_is_added():
  """40,000 coordinates each: 6 standard errors of the ratio are 3 %."""
  plan = changed(sampling='none', population=64)
  other = plan.hypothetical(2_000, 100_000)
  found = []
  for each in plan, other:
    query = each.query({'a': 40_000})
    mean, _, _ = query.get_noised_result(
      query.initial_sample_state((tf.zeros([40_000]),)),
      query.initial_global_state(),
    )
    found.append(np.std(mean[0]))
  assert found[1] == pytest.approx(found[0], rel=0.03)


def test_the_epsilon_with_earlier_runs_comes_first():
  others = plans.changed(PLAN, noise_multiplier=2.0).releases()
  joint = PLAN.epsilons(others=others)
  assert joint.best > PLAN.epsilons().best
  assert joint.rdp > PLAN.epsilons().rdp
  _, words = plan_words.in_words(PLAN, others)
  alone = plan_words.epsilons_in_words(PLAN.epsilons())
  assert words['epsilon'] == (
    f'{plan_words.epsilons_in_words(joint)} at delta 1e-06, after 50 rounds,'
    f' earlier runs included (this run alone: {alone})'
  )
  assert plan_words.in_words(PLAN) == plan_words.in_words(PLAN, ())
  assert plan_words.in_words(PLAN)[1]['epsilon'] == (
    f'{alone} at delta 1e-06, after 50 rounds'
  )


def test_an_earlier_run_without_a_guarantee_leaves_none():
  others = changed(insecure_noise_seed=1).releases()
  title, words = plan_words.in_words(PLAN, others)
  assert title == 'No privacy guarantee.'
  assert words['epsilon'].startswith('none, an earlier run')


@pytest.mark.parametrize('layer_groups', ['tensor', 'block', 'model'])
@pytest.mark.parametrize('layer_bounds', ['uniform', 'dim', 'adaptive'])
@pytest.mark.parametrize('sampling', tuple(schemes.SCHEMES))
def test_one_client_moves_the_mean_by_the_norm_over_the_expected_cohort(
  layer_groups, layer_bounds, sampling
):
  plan = changed(
    layer_groups=layer_groups,
    layer_bounds=layer_bounds,
    sampling=sampling,
    noise_multiplier=0.0,
  )
  query = plan.query(LAYERS)
  state = query.initial_global_state()
  record = query.preprocess_record(
    query.derive_sample_params(state), (tf.fill([4], 1e3), tf.constant(1e3))
  )
  mean, _, _ = query.get_noised_result(record, state)
  moved = float(tf.linalg.global_norm(mean)) * plan.expected_cohort
  assert moved == pytest.approx(0.5, rel=1e-5)


def test_the_noise_on_the_mean_is_that_of_the_sum_over_the_expected_cohort():
  """30,000 coordinates: 6 standard errors of the std are 2.45 %."""
  query = PLAN.query({'a': 30_000})
  mean, _, event = query.get_noised_result(
    query.initial_sample_state((tf.zeros([30_000]),)),
    query.initial_global_state(),
  )
  assert np.std(mean[0]) == pytest.approx(1.0 * 0.5 / 10, rel=0.0245)
  assert event.noise_multiplier == PLAN.noise_multiplier


@pytest.mark.parametrize('sampling', tuple(schemes.SCHEMES))
@pytest.mark.parametrize('cohort_size', [10, 40])
def test_the_sampler_is_that_of_the_plan(sampling, cohort_size):
  """In turns, 40 of 100 are 50 in each of two rounds."""
  plan = changed(sampling=sampling, cohort_size=cohort_size)
  sample = plan.cohorts(CLIENTS)
  cohorts = [sample(number) for number in range(1, 401)]
  mean = np.mean([len(c) for c in cohorts])
  # Poisson: the standard error is at most 5 / 20.
  assert mean == pytest.approx(plan.expected_cohort, abs=1.5)
  if sampling == 'none':
    most = max(sum(c in cohort for cohort in cohorts) for c in CLIENTS)
    ((_, counted),) = plan.releases(400)
    assert most == counted


def test_the_sampler_takes_the_population_of_the_plan_only():
  with pytest.raises(errors.UserError, match='population of 100'):
    PLAN.cohorts(CLIENTS[:-1])
  with pytest.raises(errors.UserError, match='twice'):
    PLAN.cohorts([*CLIENTS[:-1], CLIENTS[0]])


@pytest.mark.parametrize(
  ('bad', 'message'),
  [
    (dict(cohort_size=101), 'cohort_size'),
    (dict(cohort_size=0), 'cohort_size'),
    (dict(rounds=-1), 'rounds'),
    (dict(clip_norm=0.0), 'clip_norm'),
    (dict(clip_norm=math.inf), 'clip_norm'),
    (dict(clip_norm=math.nan), 'clip_norm'),
    (dict(noise_multiplier=-1.0), 'noise_multiplier'),
    (dict(noise_multiplier=math.nan), 'noise_multiplier'),
    (dict(noise_multiplier=9e-6), '`noise_multiplier=9e-06` must be from'),
    (dict(noise_multiplier=2e9), 'noise_multiplier'),
    (dict(clip_norm=9e-11), '`clip_norm=9e-11` must be from'),
    (dict(clip_norm=2e10), 'clip_norm'),
    (dict(delta=0.0), 'delta'),
    (dict(delta=0.01), "publishes one client's data"),
    (dict(delta=math.nan), 'delta'),
    (dict(sampling='by_hand'), 'sampling'),
    (dict(noise_allocation='thirds'), 'noise_allocation'),
    (dict(layer_groups='row'), 'layer_groups'),
    (dict(layer_bounds='nonsense'), 'layer_bounds'),
    (dict(mode='shout'), 'mode'),
    (dict(layer_bounds='given'), 'need each other'),
    (dict(given_bounds=(('a', 0.5),)), 'need each other'),
    (dict(layer_bounds='given', given_bounds=(('a', 1.0),)), '`clip_norm=0.5`'),
    (dict(mode='normalise', layer_bounds='adaptive'), 'normalised'),
    (dict(mode='normalise', noise_allocation='optimal'), 'not each layer'),
    (dict(layer_bounds='adaptive', quantile=1.0), '`quantile=1.0`'),
    (
      dict(layer_bounds='adaptive', adaptation_rate=0.0),
      '`adaptation_rate=0.0`',
    ),
    (dict(layer_bounds='adaptive', count_stddev=-1.0), '`count_stddev=-1.0`'),
  ],
)
def test_a_plan_that_cannot_be_kept_cannot_be_made(bad, message):
  with pytest.raises(errors.UserError, match=message):
    changed(**bad)


def test_bounds_may_be_given_by_name():
  given = (('a/bias', 0.3), ('a/kernel', 0.4))
  clipping = layer_clipping.LayerClipping(
    0.5, layer_bounds='given', given_bounds=given
  )
  plan = plans.changed(PLAN, clipping=clipping)
  state = plan.query(LAYERS).initial_global_state()
  assert list(state.numerator_state.bounds.numpy()) == [0.4, 0.3]
  with pytest.raises(errors.UserError, match='lack: b'):
    plan.query({**LAYERS, 'b': 1})
  with pytest.raises(errors.UserError, match='no layer group: a/bias'):
    plan.query({'a/kernel': 4})


def test_a_layer_whose_bound_is_beyond_all_sense_is_refused():
  """The total is within the limits, and one of its parts is not."""
  with pytest.raises(errors.UserError, match='layer a/bias must be from'):
    changed(clip_norm=1.5e-10, layer_bounds='dim').query(LAYERS)
  given = (('a/bias', 2e-38), ('a/kernel', 0.5))
  with pytest.raises(errors.UserError, match='layer a/bias must be from'):
    changed(layer_bounds='given', given_bounds=given).query(LAYERS)


def test_clip_counts_that_cost_too_much_are_refused():
  plan = changed(layer_bounds='adaptive', count_stddev=0.1)
  with pytest.raises(errors.UserError, match=r'at least 0\.7'):
    plan.query(LAYERS)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'no layer bounds'),
    ('a\t1\nb 2\n', 'Line 2'),
    ('a\t-1\n', 'Line 1'),
    ('a\tnan\n', 'Line 1'),
    ('a\t1e38\n', 'Line 1 .* from 1e-10 to 1e\\+10'),
    ('a\t2e-38\n', 'Line 1'),
    ('a\t1\na\t2\n', 'Line 2'),
  ],
)
def test_a_file_of_bounds_that_is_none_is_refused(tmp_path, text, message):
  (tmp_path / 'bounds.tsv').write_text(text)
  with pytest.raises(errors.UserError, match=message):
    bounds.read(tmp_path / 'bounds.tsv')


def test_a_file_of_bounds_is_read_as_it_was_written(tmp_path):
  with pytest.raises(errors.UserError, match='no file'):
    bounds.read(tmp_path / 'bounds.tsv')
  given = {'a/kernel': 0.1, 'b': 1 / 3}
  bounds.write(tmp_path / 'bounds.tsv', given)
  assert bounds.read(tmp_path / 'bounds.tsv') == given


def test_the_plan_speaks_in_words():
  text = plan_words.text(PLAN)
  for part in (
    'one of 100 clients',
    'with one client added or removed; the probability of sampling stays',
    'probability 0.1',
    'to the same bound; L2 norm of the whole update at most 0.5',
    'standard deviation 1 x the clip norm, the same on all layers, new in',
    'sum over 10',
    'by PLD',
    'by RDP',
    'delta 1e-06',
    '50 rounds',
    'unknown',
    'seed model',
  ):
    assert part in ' '.join(text.split()), part
  assert 'replaced' in plan_words.text(changed(sampling='fixed'))
  in_turns = ' '.join(plan_words.text(changed(sampling='none')).split())
  assert 'take turns' in in_turns
  assert 'the period of turns stays the same' in in_turns
  assert 'probability' not in in_turns
  assert 'UNPROTECTED' in plan_words.text(changed(unprotected_metrics=True))


@pytest.mark.parametrize('noise_allocation', allocation.NAMES)
@pytest.mark.parametrize('layer_bounds', ['uniform', 'dim', 'adaptive'])
def test_the_words_about_the_noise_are_true(noise_allocation, layer_bounds):
  """They give a standard deviation only where each coordinate has it."""
  plan = changed(noise_allocation=noise_allocation, layer_bounds=layer_bounds)
  words = plan.mechanism.noise_in_words()
  bounds_now = tf.constant(
    plan.mechanism.clipping.bounds_of(grouping.group(LAYERS, 'tensor')),
    tf.float64,
  )
  stddevs = plan.noised_sum(LAYERS).noise_stddevs(bounds_now).numpy()
  if 'standard deviation' in words:
    assert 'standard deviation 1 x the clip norm' in words
    np.testing.assert_allclose(stddevs, 1.0 * plan.mechanism.clipping.clip_norm)
  else:
    assert 'noise multiplier 1' in words
  if 'the same on all layers' in words:
    assert np.ptp(stddevs) == 0.0
  if 'in proportion to the bound' in words:
    assert np.ptp(stddevs / bounds_now.numpy()) < 1e-12
  assert ('together' in words) == (layer_bounds == 'adaptive')


@pytest.mark.parametrize('mode', ['clip', 'normalise'])
@pytest.mark.parametrize('layer_groups', ['tensor', 'block', 'model'])
@pytest.mark.parametrize('layer_bounds', ['uniform', 'dim'])
def test_the_words_about_clipping_name_the_whole_bound(
  layer_bounds, layer_groups, mode
):
  words = str(
    layer_clipping.LayerClipping(
      0.3, layer_groups=layer_groups, layer_bounds=layer_bounds, mode=mode
    )
  )
  assert '0.3' in words and 'L2 norm' in words
  assert ('scaled up or down' in words) == (
    mode == 'normalise' and layer_groups != 'model'
  )
