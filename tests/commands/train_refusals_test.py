"""What a run refuses before it begins."""

import dataclasses
import pathlib

import pytest

from tests.commands import training
from tff_asr import errors
from tff_asr.privacy.mechanism import layer_clipping

# Of another model; with clip bits that take the whole budget.
_GIVEN = layer_clipping.LayerClipping(
  0.1, layer_bounds='given', given_bounds=(('a', 0.1),)
)


_GREEDY = layer_clipping.LayerClipping(
  0.1, layer_bounds='adaptive', count_stddev=0.1
)


# With half of the clients gone, at most 0.75 count as within the bounds.
_FAR = layer_clipping.LayerClipping(0.1, layer_bounds='adaptive', quantile=0.8)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(clipping=None), 'protects nobody'),
    (dict(clipping=None, insecure_noise_seed=1), 'protects nobody'),
    (dict(cohort_size=5), 'population of 4'),
    (dict(delta=1.0), 'delta'),
    (dict(noise_multiplier=None), 'either'),
    (dict(target_epsilon=1.0), 'not both'),
    (dict(noise_multiplier=None, target_epsilon=0.0), 'target_epsilon'),
    (dict(max_epsilon=-1.0), 'max_epsilon'),
    (dict(max_epsilon=1.0, noise_multiplier=0.0), 'fresh noise'),
    (dict(max_epsilon=1.0, insecure_noise_seed=1), 'fresh noise'),
    (dict(insecure_cohort_seed=1), 'nobody can predict'),
    (dict(accounting_population=100), 'need each other'),
    (dict(accounting_population=9, accounting_cohort_size=10), 'accounting_'),
    (dict(clipping=_GIVEN), 'lack: '),
    (dict(clipping=_GREEDY), 'clip counts'),
    (dict(clipping=_FAR, client_drop_out=0.5), 'less than 0.75'),
    (dict(client_drop_out=1.0), 'client_drop_out'),
    (dict(prior_ledger=(pathlib.Path('nowhere'),)), 'no privacy ledger'),
    (dict(seed_clients=7), '6 clients'),
    (dict(seed_clients=6), 'leaves no clients'),
    (dict(model='huge'), 'huge'),
    (dict(seed_model=pathlib.Path('nowhere'), seed_clients=0), 'no model'),
    (dict(train_store=pathlib.Path('nowhere')), 'no client store'),
  ],
)
def test_what_cannot_be_kept_is_refused(config, tmp_path, changes, message):
  with pytest.raises(errors.UserError, match=message):
    training.run(config, tmp_path / 'run', **changes)
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  'changes',
  [
    dict(cohort_size=5),
    dict(seed_clients=7),
    dict(seed_model=pathlib.Path('nowhere'), seed_clients=0),
    dict(train_store=pathlib.Path('nowhere')),
    dict(rounds=1, delta=1e-9),
  ],
)
def test_another_run_in_the_folder_is_the_first_error(
  config, finished, changes
):
  """The others follow from flags that were forgotten when resuming."""
  message = 'contains a run with other flags'
  training.refused(config, finished[0], message, **changes)


@pytest.mark.parametrize(
  'name',
  ['client_learning_rate', 'client_gradient_clip', 'server_learning_rate'],
)
@pytest.mark.parametrize('value', [0.0, -1.0, float('nan'), float('inf')])
def test_steps_and_clips_are_positive(config, name, value):
  with pytest.raises(errors.UserError, match=name):
    dataclasses.replace(config.federated, **{name: value})


def test_evaluation_speakers_must_be_held_out(config, tmp_path):
  with pytest.raises(errors.UserError, match='held out'):
    training.run(config, tmp_path / 'run', eval_store=config.train_store)
