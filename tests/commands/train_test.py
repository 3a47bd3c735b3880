"""A whole run on synthetic speech, small."""

import dataclasses
import io
import json
import math
import pathlib
import re
import shutil
import sqlite3

import pytest
import tensorflow as tf

from tests.commands import training
from tff_asr import checksums, errors
from tff_asr.commands import evaluate, train
from tff_asr.corpora import client_store
from tff_asr.privacy.accounting import ledger
from tff_asr.programs import execution, release_managers
from tff_asr.reports import run_report
from tff_asr.runs import lineage

# Beside model/ without lineage.json, and tensorboard/.
HANDED_ON = {
  *('report.html', 'model_card.md', 'summary.json'),
  *('metrics.csv', 'ledger.jsonl'),
}


def test_a_run_leaves_model_metrics_report_and_summary(finished, config):
  output_dir, table = finished
  assert 'epsilon' in table and 'federated model, 2 rounds' in table
  summary = json.loads((output_dir / 'summary.json').read_text())
  plan = config.privacy.plan(population=4, rounds=2)
  assert summary['epsilon'] == plan.epsilons().best
  book = ledger.Ledger(output_dir / 'ledger.jsonl')
  assert book.releases() == plan.releases() and book.last_round == 2
  assert [float(r['round']) for r in training.rows(output_dir)] == [0, 1, 2]
  assert 'data:image/png' in (output_dir / 'report.html').read_text()
  assert list((output_dir / 'tensorboard').iterdir())
  page = (output_dir / 'report.html').read_text()
  card = (output_dir / 'model' / 'model_card.md').read_text()
  run_report.again(output_dir)
  assert (output_dir / 'report.html').read_text() == page
  assert (output_dir / 'model_card.md').read_text() == card
  again = evaluate.evaluate(output_dir, config.eval_store, worst=1)
  assert f'{summary["wer"]:.1%}' in again.split('worst')[0].splitlines()[-2]


def test_the_readme_lists_every_file_of_a_run(finished):
  page = pathlib.Path(__file__).parents[2] / 'README.md'
  rows = page.read_text().partition('A run writes these files')[2]
  listed = re.findall(r'(?m)^\| (`.*?) \|', rows.partition('\n## ')[0])
  names = set(re.findall(r'`([\w.]+)/?`', ' '.join(listed)))
  assert 'model_card.md' in names and 'lineage.json' not in names
  assert {file.name for file in finished[0].iterdir()} <= names


def test_what_is_handed_on_has_no_names_no_paths_and_no_times(finished, config):
  """What docs/runs.md lists, byte for byte."""
  run, table = finished
  assert 'minutes' not in table and not (run / 'report_private.html').exists()
  stores = map(
    client_store.ClientStore, (config.train_store, config.eval_store)
  )
  secrets = [c for store in stores for c in store.client_ids]
  secrets += [str(run.parent), str(config.train_store.parent)]
  secrets += [str(pathlib.Path(tf.__file__).parent), 'minutes', 'seconds/']
  files = [path for path in run.iterdir() if path.name in HANDED_ON]
  for folder in run / 'model', run / 'tensorboard':
    files += [p for p in folder.iterdir() if p.name != 'lineage.json']
  assert len(files) == len(HANDED_ON) + 5 + 1
  for path in files:
    for secret in secrets:
      assert secret.encode() not in path.read_bytes(), (path, secret)


def test_nothing_un_noised_about_clients_is_written(finished):
  output_dir, _ = finished
  names = set(training.rows(output_dir)[0])
  unprotected = {n for n in names if not n.startswith('norm/')}
  assert unprotected == {
    *('round', 'wer', 'cer', 'eval_loss'),
    *('epsilon', 'epsilon_rdp', 'epsilon_pld'),
  }


def test_a_second_call_goes_on_and_can_add_rounds(finished, config, tmp_path):
  output_dir = training.copied(finished[0], tmp_path / 'run')
  before = training.rows(output_dir)
  seed = (output_dir / 'seed_model' / 'model.weights.h5').read_bytes()
  table = training.run(config, output_dir, rounds=3)
  assert 'federated model, 3 rounds' in table
  for fewer in 0, 2:
    with pytest.raises(errors.UserError, match='has done 3 rounds'):
      training.run(config, output_dir, rounds=fewer)
  assert training.rows(output_dir)[:3] == before
  assert len(training.rows(output_dir)) == 4
  assert ledger.Ledger(output_dir / 'ledger.jsonl').last_round == 3
  plan = config.privacy.plan(population=4, rounds=3)
  assert training.summary_of(output_dir)['epsilon'] == plan.epsilons().best
  assert (output_dir / 'seed_model' / 'model.weights.h5').read_bytes() == seed


def test_without_privacy_the_loss_is_shown_and_no_epsilon(
  config, unguarded, tmp_path
):
  last = training.rows(unguarded)[-1]
  assert float(last['loss']) > 0 and 'epsilon' not in last
  assert float(last['clients']) == 2 and float(last['failed']) == 0
  for name in 'train', 'save', 'evaluate':
    assert float(last[f'seconds/{name}']) > 0
  assert training.summary_of(unguarded)['minutes'] > 0
  assert not (unguarded / 'ledger.jsonl').exists()
  with pytest.raises(errors.UserError, match='no privacy ledger'):
    training.run(config, tmp_path / 'other', prior_ledger=(unguarded,))


def damaged(store, copy, clients):
  """A copy of a store that was written with cut records of some clients."""
  shutil.copytree(store, copy)
  with sqlite3.connect(copy / 'clients.sqlite') as database:
    database.executemany(
      'UPDATE records SET record = substr(record, 1, length(record) / 2)'
      ' WHERE client_id = ?',
      [(client,) for client in clients],
    )
  checksums.add(copy / 'clients.sqlite')
  return copy


@pytest.fixture
def first_two(quick):
  return client_store.ClientStore(quick.train_store).client_ids[:2]


def test_clients_whose_data_are_damaged_are_left_out(
  quick, first_two, tmp_path, caplog
):
  """Even the first in the store; too many of them end the run in one line."""
  every = dict(
    train_store=damaged(quick.train_store, tmp_path / 'store', first_two),
    seed_model=None,
    sampling='fixed',
    cohort_size=6,
    rounds=1,
    noise_multiplier=0.0,
  )
  training.refused(
    quick,
    tmp_path / 'few',
    'A round cannot be completed: .* for client number',
    execution=execution.ExecutionConfig(max_bad_clients=1),
    **every,
  )
  caplog.clear()
  training.run(
    quick,
    tmp_path / 'many',
    execution=execution.ExecutionConfig(max_bad_clients=2),
    **every,
  )
  for name in first_two:
    assert f"('{name}')" in caplog.text
  assert len(training.rows(tmp_path / 'many')) == 2


def test_under_a_guarantee_nothing_tells_whose_data_are_damaged(
  quick, first_two, tmp_path, caplog, capfd
):
  """Nor how many; but an error that clients have in common shows."""
  seed_speakers = set().union(
    *(t.unprotected for t in lineage.read(quick.seed_model))
  )
  clients = [
    c
    for c in client_store.ClientStore(quick.train_store).client_ids
    if c not in seed_speakers
  ]
  store = damaged(quick.train_store, tmp_path / 'store', clients)
  settings = dict(sampling='none', cohort_size=4)
  training.run(quick, tmp_path / 'run', train_store=store, **settings)
  assert 'left out' not in caplog.text
  printed = caplog.text + ''.join(capfd.readouterr())
  assert not [name for name in clients if name in printed]
  assert len(training.rows(tmp_path / 'run')) == 2
  everybody = damaged(
    quick.train_store, tmp_path / 'all', [*clients, *seed_speakers]
  )
  training.refused(
    quick,
    tmp_path / 'other',
    'A round cannot be completed: .* for client number',
    train_store=everybody,
    **settings,
  )


def test_a_log_has_what_was_released_and_some_speakers_are_heard_between(
  quick, tmp_path
):
  stream = io.StringIO()
  flags = {'evaluate_clients': '1'}
  settings = training.changed(
    quick, output_dir=tmp_path / 'run', evaluate_clients=1
  )
  table = train.train(settings, flags, release_managers.JsonLog(stream))
  start, *rounds, result = map(json.loads, stream.getvalue().splitlines())
  assert start == {
    **{'event': 'start', 'run': str(tmp_path / 'run')},
    **{'rounds': 1, 'population': 4},
  }
  for number, (found, row) in enumerate(
    zip(rounds, training.rows(tmp_path / 'run'), strict=True)
  ):
    assert found.pop('event') == 'round' and found['round'] == number
    assert found == {k: float(v) for k, v in row.items() if v}
  summary = training.summary_of(tmp_path / 'run')
  assert result == {'event': 'result', **summary}
  # The table compares all held-out speakers, before and after.
  seed = evaluate.evaluate(tmp_path / 'run/seed_model', quick.eval_store, 0)
  assert f'{summary["seed_wer"]:.1%}' in seed and summary['eval_utterances'] > 1
  assert f'{summary["seed_wer"]:.1%}' in table
  with pytest.raises(errors.UserError, match='`evaluate_clients=3`'):
    train.train(
      dataclasses.replace(
        settings, output_dir=tmp_path / 'never', evaluate_clients=3
      ),
      flags,
    )
  assert not (tmp_path / 'never').exists()


def test_a_log_is_json_whatever_the_figures():
  stream = io.StringIO()
  log = release_managers.JsonLog(stream)
  log.write('result', a=math.nan, b=[math.inf, 1.0], c={'d': -math.inf})
  assert json.loads(stream.getvalue()) == {
    **{'event': 'result', 'a': None, 'b': [None, 1.0], 'c': {'d': None}},
  }
