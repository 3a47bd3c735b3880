"""The recipes in `configs`, parsed by the flags of `train`."""

import functools
import pathlib
import re

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest
import tensorflow as tf

from pipelines import command_line, default_run, flagfiles, train
from tests import plans
from tff_asr import errors
from tff_asr.corpora import batching
from tff_asr.learning import federated
from tff_asr.optimizers import schedules
from tff_asr.privacy.mechanism import layer_clipping
from tff_asr.text import vocabularies

CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'
FILES = sorted(
  str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob('*.flags')
)
# Files of this name are parts of others.
RECIPES = [name for name in FILES if 'base' not in name]
_STEP = '--seed_schedule=step --seed_decay_start=3 --seed_decay_steps=3'
POPULATION = 34_753  # Speakers of Common Voice, English, in the paper.


def lines(recipe):
  return list(flagfiles.expanded([f'--flagfile={recipe}'], CONFIGS))


def parsed(*arguments):
  """What `train` would do."""
  given = ('--train_store=train', '--eval_store=eval', '--output_dir=run')
  with flagsaver.flagsaver():
    flags.FLAGS(['train', *given, *arguments])
    return train.config(train.resolved())


@functools.cache
def config(recipe):
  return parsed(*lines(recipe))


@functools.cache
def layer_sizes(encoder):
  return encoder.layer_sizes()


@functools.cache
def next_type(encoder, precision_name, is_clipped):
  """Type of a process; of those that differ in numbers alone one is built."""
  plan = plans.make(
    population=POPULATION,
    cohort_size=10,
    rounds=1,
    delta=1e-9,
    noise_multiplier=1.0,
    clipping=layer_clipping.LayerClipping(1.0),
  )
  optimizers = federated.FederatedConfig(0.1, 1.0, 'sgd', 1.0)
  return federated.build_learning_process(
    encoder, optimizers, plan if is_clipped else None, precision_name
  ).next.type_signature


@pytest.mark.parametrize('recipe', RECIPES)
def test_a_recipe_is_a_run(recipe):
  """Its flags fit each other, and its process its model: shapes alone."""
  run = config(recipe)
  encoder = run.encoder(vocabularies.CharacterVocabulary().size)
  assert bool(run.rounds) or run.seed_clients != 0
  if not run.rounds:
    return
  plan = run.privacy.plan(POPULATION, run.rounds)
  sizes = layer_sizes(encoder)
  if plan:
    plan.query(sizes)
    run.privacy.hypothetical(plan)
  process = next_type(encoder, run.precision, plan is not None)
  state, clients = process.parameter
  trainable = state.member['global_model_weights']['trainable']
  shapes = [tensor.shape for tensor in trainable]
  assert [np.prod(s, dtype=int) for s in shapes] == list(sizes.values())
  batch = clients.member.element
  for name, spec in batching.BATCH_SPEC.items():
    assert (batch[name].dtype, len(batch[name].shape)) == (
      spec.dtype,
      len(spec.shape),
    )
  optimizer = federated.server_optimizer(run.federated)
  optimizer.initialize(tf.TensorSpec([2]))


@pytest.mark.parametrize('name', FILES)
def test_a_file_says_where_it_is_from_and_repeats_nothing(name):
  assert (CONFIGS / name).read_text().startswith('# ')
  seen = {}
  for line in lines(name):
    flag, _, value = line.partition('=')
    assert seen.get(flag) != value, f'{line} stands twice'
    seen[flag] = value


def test_the_table_has_every_recipe_and_no_other():
  readme = (CONFIGS / 'README.md').read_text()
  linked = re.findall(r'\]\(([\w/.-]+\.flags)\)', readme)
  assert sorted(linked) == RECIPES


def rates(recipe, numbers):
  """Step of the server in some rounds, from the state that it keeps."""
  optimizer = federated.server_optimizer(config(recipe).federated)
  found = []
  for number in numbers:
    state = optimizer.initialize(tf.TensorSpec([2]))
    state['round_num'] = tf.constant(number - 2)  # Rounds done before the last.
    state, _ = optimizer.next(state, tf.ones([2]), tf.ones([2]))
    found.append(float(state['optimizer']['learning_rate']))
  return found


@pytest.mark.parametrize(
  ('recipe', 'expected'),
  [
    (
      'paper/pfl_ls_100_to_cv.flags',
      {2: 2e-3, 750: 2e-3, 1500: 1.2e-3, 2000: 8.54e-4},
    ),
    ('paper/fl_cv.flags', {1000: 6e-3, 2000: 2.16e-3}),
    ('paper/fl_ls_100_to_ls_860.flags', {1000: 3e-3, 2000: 3.89e-4}),
  ],
)
def test_the_servers_step_falls_as_in_the_paper(recipe, expected):
  found = rates(recipe, expected)
  assert found == pytest.approx(list(expected.values()), rel=1e-3)


@pytest.mark.parametrize(
  ('recipe', 'dp_sigma', 'epsilon'),
  [
    ('paper/pfl_ls_100_to_cv.flags', 1e-7, 4.5),
    ('paper/pfl_ls_100_to_cv_dim_3e-6.flags', 3e-8, 7.3),
  ],
)
def test_the_private_run_has_the_papers_noise_and_epsilon(
  recipe, dp_sigma, epsilon
):
  """On the mean; the paper counts some rounds more, and rounds up."""
  run = config(recipe)
  plan = run.privacy.plan(POPULATION, run.rounds)
  on_mean = plan.mechanism.noise_stddev / plan.cohort_size
  assert on_mean == pytest.approx(dp_sigma)
  found = run.privacy.hypothetical(plan).epsilons().rdp
  assert 0.95 * epsilon < found < epsilon


@pytest.mark.parametrize(
  'recipe', [r for r in RECIPES if r.startswith('paper/central')]
)
def test_a_seed_of_the_paper_is_halved_again_and_again(recipe):
  central = config(recipe).central
  schedule = central.schedule
  start, tau = schedule.decay_start, schedule.decay_steps
  first = 1.0 if schedule.name == schedules.EXPONENTIAL else 0.5
  steps = [0, start - 1, start, start + tau, start + 2 * tau]
  assert [float(schedule.share(s)) for s in steps] == pytest.approx(
    [1.0, 1.0, first, first / 2, first / 4]
  )
  assert steps[-1] < central.steps


@pytest.mark.parametrize(
  'arguments',
  [
    '--server_decay_rate=0.5',
    '--server_decay_rounds=3',
    '--server_decay_start=3',
    '--server_decay_rounds=3 --server_decay_rate=0',
    '--seed_decay_start=3',
    '--seed_schedule=constant --seed_decay_steps=3',
    '--seed_schedule=step --seed_decay_steps=3',
    '--seed_schedule=exponential --seed_decay_start=3',
    '--seed_epochs=1 --seed_steps=1',
  ],
)
def test_schedules_that_contradict_themselves_are_refused(arguments):
  with pytest.raises(errors.UserError, match=r'decay|CentralConfig'):
    parsed(*arguments.split())


@pytest.mark.parametrize(
  ('flag', 'others', 'needed'),
  [
    ('--rounds_a_day=12', '', '--available_hours=6'),
    ('--seed_decay_rate=0.25', '', _STEP),
    ('--seed_decay_rate=0.25', '--seed_schedule=constant', _STEP),
  ],
)
def test_a_flag_that_cannot_have_an_effect_is_refused(flag, others, needed):
  name = flag.partition('=')[0]
  with pytest.raises(errors.UserError, match=f'^{flag} has no effect') as found:
    parsed(flag, *others.split())
  assert '\n' not in str(found.value)
  default = flags.FLAGS[name.removeprefix('--')].default
  # As in the recorded flags of a run.
  assert parsed(f'{name}={default}', *others.split()) == parsed(*others.split())
  with_effect = [*others.split(), *needed.split()]
  assert parsed(flag, *with_effect) != parsed(*with_effect)


@pytest.mark.parametrize('layer_bounds', ['uniform', 'dim', 'adaptive'])
def test_a_recipe_of_any_bounds_may_have_one_bound_for_the_update(layer_bounds):
  found = parsed('--clipping=global', f'--layer_bounds={layer_bounds}')
  assert found.privacy.mechanism.clipping.layer_bounds == layer_bounds


def test_a_seed_is_trained_unless_a_model_is_given():
  assert parsed().seed_clients > 0 and parsed().central.epochs == 50
  assert parsed('--seed_model=m').seed_clients == 0
  assert parsed('--seed_model=m', '--seed_clients=3').seed_clients == 3


def test_without_a_store_the_settings_of_the_default_run_hold(monkeypatch):
  monkeypatch.setattr(default_run, 'train_store', lambda *_: '/clients')
  monkeypatch.setattr(default_run, 'eval_store', lambda *_: '/others')

  def found(*arguments):
    with flagsaver.flagsaver():
      command_line.parse(['train', *arguments])
      return train.config(train.resolved())

  for name, value in default_run.DEFAULTS.items():
    assert f'--{name}={value}' in default_run.in_words()
  run = found()
  assert run.privacy.sampling.cohort_size == default_run.DEFAULTS['cohort_size']
  assert run.rounds == default_run.DEFAULTS['rounds']
  given = found('--cohort_size=5', '--rounds=2', '--target_epsilon=3')
  assert given.privacy.sampling.cohort_size == 5
  assert given.rounds == 2
  assert given.privacy.mechanism.noise_multiplier is None
  assert given.privacy.budget.target_epsilon == 3
  usual = found('--train_store=/mine', '--eval_store=/yours')
  assert usual.privacy.sampling.cohort_size == 16


def test_default_runs_share_a_store_so_that_a_report_finds_their_clients(
  monkeypatch,
):
  def stores(*arguments):
    made = []
    monkeypatch.setattr(
      default_run, '_store', lambda *a, **_: made.append(a) or '/some'
    )
    with flagsaver.flagsaver():
      command_line.parse(['train', *arguments])
      train.resolved()
    return made

  usual = stores()
  assert stores('--seed_clients=4', '--rounds=3') == usual
  assert stores('--seed_clients=-1') == usual
  assert stores('--seed=1') != usual


def test_the_default_run_protects_its_clients():
  """A single-digit epsilon, at a delta below one over the population."""
  run = parsed(
    *(f'--{name}={value}' for name, value in default_run.DEFAULTS.items())
  )
  plan = run.privacy.plan(default_run.CLIENTS, run.rounds)
  assert plan.is_guarantee
  assert 0 < plan.epsilons().pld < 10
  assert run.privacy.budget.delta < 1 / default_run.CLIENTS
