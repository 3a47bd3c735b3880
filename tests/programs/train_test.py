"""A whole run on synthetic speech, small; and what is refused before one."""

import csv
import dataclasses
import json
import pathlib

import pytest

from tests import stores as stores_lib
from tff_asr import errors
from tff_asr.corpora import client_datasets
from tff_asr.corpora.synthetic import corpus as synthetic
from tff_asr.learning import central, federated
from tff_asr.programs import evaluate, train


@pytest.fixture(scope='session')
def config(tmp_path_factory):
  stores = tmp_path_factory.mktemp('stores')
  for name, clients, seed in ('train', 6, 0), ('eval', 2, 1):
    source = synthetic.Synthetic(synthetic.SyntheticConfig(clients, seed, 3.0))
    stores_lib.write(stores / name, list(source.items()))
  return train.TrainConfig(
    train_store=stores / 'train',
    eval_store=stores / 'eval',
    output_dir=pathlib.Path('nowhere'),
    model='tiny',
    precision='float32',
    seed_model=None,
    seed_clients=2,
    central=central.CentralConfig(
      epochs=1, batch_seconds=9.0, learning_rate=1e-3
    ),
    rounds=2,
    batches=client_datasets.BatchConfig(seconds=9.0, epochs=1),
    federated=federated.FederatedConfig(0.1, 1.0, 'lamb', 0.01),
    sampling='poisson',
    cohort_size=2,
    clipping='per_layer',
    layer_bounds='dim',
    clip_norm=0.1,
    noise_multiplier=0.5,
    delta=1e-6,
    evaluate_every=1,
    seed=0,
  )


def run(config, output_dir, **changes):
  changed = dataclasses.replace(config, output_dir=output_dir, **changes)
  flags = {
    f.name: str(getattr(changed, f.name)) for f in dataclasses.fields(changed)
  }
  return train.train(changed, flags)


def rows(output_dir):
  with open(output_dir / 'metrics.csv', newline='') as file:
    return list(csv.DictReader(file))


@pytest.fixture(scope='session')
def finished(config, tmp_path_factory):
  output_dir = tmp_path_factory.mktemp('runs') / 'run'
  return output_dir, run(config, output_dir)


def test_a_run_leaves_model_metrics_report_and_summary(finished, config):
  output_dir, table = finished
  assert 'epsilon' in table and 'federated model, 2 rounds' in table
  summary = json.loads((output_dir / 'summary.json').read_text())
  plan = config.privacy_plan(population=4)
  assert summary['epsilon'] == pytest.approx(plan.epsilon(2))
  assert [float(r['round']) for r in rows(output_dir)] == [0, 1, 2]
  assert 'data:image/png' in (output_dir / 'report.html').read_text()
  assert list((output_dir / 'tensorboard').iterdir())
  again = evaluate.evaluate(output_dir, config.eval_store, worst=1)
  assert f'{summary["wer"]:.1%}' in again.split('worst')[0].splitlines()[-2]


def test_nothing_un_noised_about_clients_is_written(finished):
  output_dir, _ = finished
  names = set(rows(output_dir)[0])
  unprotected = {n for n in names if not n.startswith('norm/')}
  assert unprotected == {'round', 'wer', 'cer', 'epsilon'}


def test_a_second_call_goes_on_and_can_add_rounds(finished, config):
  output_dir, _ = finished
  before = rows(output_dir)
  seed = (output_dir / 'seed_model' / 'model.weights.h5').read_bytes()
  table = run(config, output_dir, rounds=3)
  assert 'federated model, 3 rounds' in table
  for fewer in 0, 2:
    with pytest.raises(errors.UserError, match='has done 3 rounds'):
      run(config, output_dir, rounds=fewer)
  assert rows(output_dir)[:3] == before
  assert len(rows(output_dir)) == 4
  assert (output_dir / 'seed_model' / 'model.weights.h5').read_bytes() == seed


def test_a_model_can_be_the_seed_of_another_run(finished, config, tmp_path):
  output_dir, _ = finished
  summary = json.loads((output_dir / 'summary.json').read_text())
  run(config, tmp_path / 'run', seed_model=output_dir, seed_clients=0, rounds=1)
  first = rows(tmp_path / 'run')[0]
  assert float(first['wer']) == pytest.approx(summary['wer'])


def test_without_privacy_the_loss_is_shown_and_no_epsilon(config, tmp_path):
  table = run(
    config,
    tmp_path / 'run',
    clipping='none',
    noise_multiplier=0.0,
    sampling='fixed',
    rounds=1,
  )
  assert 'no privacy guarantee' in table
  last = rows(tmp_path / 'run')[-1]
  assert float(last['loss']) > 0 and 'epsilon' not in last


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(clipping='none'), 'protects nobody'),
    (dict(sampling='fixed'), 'poisson'),
    (dict(cohort_size=5), 'population of 4'),
    (dict(delta=1.0), 'delta'),
    (dict(clip_norm=0.0), 'clip_norm'),
    (dict(seed_clients=7), '6 clients'),
    (dict(seed_clients=6), 'leaves nobody'),
    (dict(model='huge'), 'huge'),
    (dict(seed_model=pathlib.Path('nowhere'), seed_clients=0), 'no model'),
    (dict(seed_model=pathlib.Path('nowhere')), 'either'),
    (dict(train_store=pathlib.Path('nowhere')), 'no client store'),
  ],
)
def test_what_cannot_be_kept_is_refused(config, tmp_path, changes, message):
  with pytest.raises(errors.UserError, match=message):
    run(config, tmp_path / 'run', **changes)


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
    run(config, tmp_path / 'run', eval_store=config.train_store)
