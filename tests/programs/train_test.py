"""A whole run on synthetic speech, small; and what is refused before one."""

import csv
import dataclasses
import gc
import json
import os
import pathlib
import shutil
import signal
import sqlite3

import numpy as np
import pytest

from tests import stores as stores_lib
from tff_asr import errors
from tff_asr.corpora import client_datasets
from tff_asr.corpora.synthetic import corpus as synthetic
from tff_asr.learning import central, federated
from tff_asr.models import model_folder
from tff_asr.privacy import bounds, layer_clipping, ledger
from tff_asr.programs import (
  evaluate,
  execution,
  lineage,
  privacy_config,
  report,
  round_metrics,
  speakers,
  stopping,
  train,
)

# Of another model; with clip bits that take the whole budget.
_GIVEN = layer_clipping.LayerClipping(
  0.1, layer_bounds='given', given_bounds=(('a', 0.1),)
)
_GREEDY = layer_clipping.LayerClipping(
  0.1, layer_bounds='adaptive', count_stddev=0.1
)


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
    chance={},
    precision='float32',
    seed_model=None,
    seed_clients=2,
    central=central.CentralConfig(
      epochs=1, batch_seconds=9.0, learning_rate=1e-3
    ),
    rounds=2,
    batches=client_datasets.BatchConfig(seconds=9.0, epochs=1),
    federated=federated.FederatedConfig(0.1, 1.0, 'lamb', 0.01),
    privacy=privacy_config.PrivacyConfig(
      sampling='poisson',
      cohort_size=2,
      clipping=layer_clipping.LayerClipping(0.1, layer_bounds='dim'),
      noise_multiplier=0.5,
      delta=1e-6,
    ),
    evaluate_every=1,
    evaluate_clients=0,
    checkpoint_every=1,
    keep_checkpoints=2,
    execution=execution.ExecutionConfig(),
    seed=0,
  )


def changed(config, **changes):
  """The configuration with other settings, of its privacy too."""
  own = {f.name for f in dataclasses.fields(config.privacy)}
  privacy = {k: v for k, v in changes.items() if k in own}
  rest = {k: v for k, v in changes.items() if k not in own}
  return dataclasses.replace(
    config, privacy=dataclasses.replace(config.privacy, **privacy), **rest
  )


def run(config, output_dir, **changes):
  config = changed(config, output_dir=output_dir, **changes)
  flags = {
    f.name: str(getattr(config, f.name)) for f in dataclasses.fields(config)
  }
  flags |= {
    f.name: str(getattr(config.privacy, f.name))
    for f in dataclasses.fields(config.privacy)
  }
  del flags['privacy']
  flags['prior_ledger'] = flags.pop('prior_ledgers')
  return train.train(config, flags)


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
  plan = config.privacy.plan(population=4, rounds=2)
  assert summary['epsilon'] == plan.epsilons().best
  book = ledger.Ledger(output_dir / 'ledger.jsonl')
  assert book.releases() == plan.releases() and book.last_round == 2
  assert [float(r['round']) for r in rows(output_dir)] == [0, 1, 2]
  assert 'data:image/png' in (output_dir / 'report.html').read_text()
  assert list((output_dir / 'tensorboard').iterdir())
  page = (output_dir / 'report.html').read_text()
  card = (output_dir / 'model' / 'model_card.md').read_text()
  report.again(output_dir)
  assert (output_dir / 'report.html').read_text() == page
  assert (output_dir / 'model_card.md').read_text() == card
  again = evaluate.evaluate(output_dir, config.eval_store, worst=1)
  assert f'{summary["wer"]:.1%}' in again.split('worst')[0].splitlines()[-2]


def test_nothing_un_noised_about_clients_is_written(finished):
  output_dir, _ = finished
  names = set(rows(output_dir)[0])
  unprotected = {n for n in names if not n.startswith('norm/')}
  assert unprotected == {
    *('round', 'wer', 'cer', 'eval_loss'),
    *('epsilon', 'epsilon_rdp', 'epsilon_pld'),
    *('seconds/save', 'seconds/evaluate'),
  }


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


@pytest.fixture(scope='session')
def unguarded(config, tmp_path_factory):
  """A run without privacy."""
  output_dir = tmp_path_factory.mktemp('runs') / 'unguarded'
  table = run(
    config,
    output_dir,
    clipping=None,
    noise_multiplier=0.0,
    sampling='fixed',
    rounds=1,
  )
  assert 'no privacy guarantee' in ' '.join(table.split())
  return output_dir


def test_without_privacy_the_loss_is_shown_and_no_epsilon(
  config, unguarded, tmp_path
):
  last = rows(unguarded)[-1]
  assert float(last['loss']) > 0 and 'epsilon' not in last
  assert float(last['clients']) == 2 and float(last['failed']) == 0
  assert not (unguarded / 'ledger.jsonl').exists()
  with pytest.raises(errors.UserError, match='no privacy ledger'):
    run(config, tmp_path / 'other', prior_ledgers=(unguarded,))


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
    (dict(accounting_population=100), 'go together'),
    (dict(accounting_population=9, accounting_cohort_size=10), 'accounting_'),
    (dict(clipping=_GIVEN), 'lack: '),
    (dict(clipping=_GREEDY), 'clip counts'),
    (dict(prior_ledgers=(pathlib.Path('nowhere'),)), 'no privacy ledger'),
    (dict(seed_clients=7), '6 clients'),
    (dict(seed_clients=6), 'leaves nobody'),
    (dict(model='huge'), 'huge'),
    (dict(seed_model=pathlib.Path('nowhere'), seed_clients=0), 'no model'),
    (dict(train_store=pathlib.Path('nowhere')), 'no client store'),
  ],
)
def test_what_cannot_be_kept_is_refused(config, tmp_path, changes, message):
  with pytest.raises(errors.UserError, match=message):
    run(config, tmp_path / 'run', **changes)
  assert not (tmp_path / 'run').exists()


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


@pytest.fixture(scope='session')
def quick(config, finished):
  """A round that begins with a seed model, on the four other clients."""
  seed_model = finished[0] / 'seed_model'
  return changed(config, seed_model=seed_model, seed_clients=0, rounds=1)


def summary_of(output_dir):
  return json.loads((output_dir / 'summary.json').read_text())


def refused(config, output_dir, message, **changes):
  with pytest.raises(errors.UserError, match=message):
    run(config, output_dir, **changes)
  gc.collect()  # The lock of a run's folder goes with its object.


def test_a_run_ends_before_the_round_that_would_exceed_its_budget(
  quick, tmp_path, capfd
):
  """And goes on when the budget is raised."""
  output_dir = tmp_path / 'run'
  plan = quick.privacy.plan(population=4, rounds=3)
  one, two, three = (plan.epsilons(n).best for n in (1, 2, 3))
  for budget, done in (one, 1), ((two + three) / 2, 2):
    run(quick, output_dir, rounds=3, max_epsilon=budget)
    assert f'Stopped after {done} of 3 rounds' in capfd.readouterr().out
    assert summary_of(output_dir)['rounds'] == done
    assert summary_of(output_dir)['epsilon'] == plan.epsilons(done).best
    assert len(rows(output_dir)) == done + 1 and rows(output_dir)[-1]['wer']


def test_clients_whose_data_are_damaged_are_left_out(quick, tmp_path, caplog):
  """Even the first in the store; too many of them end the run in one line."""
  store = tmp_path / 'store'
  shutil.copytree(quick.train_store, store)
  with sqlite3.connect(store / 'clients.sqlite') as database:
    names = [
      name
      for (name,) in database.execute(
        'SELECT client_id FROM clients ORDER BY client_id LIMIT 2'
      )
    ]
    database.execute(
      'UPDATE records SET record = substr(record, 1, length(record) / 2)'
      ' WHERE client_id IN (?, ?)',
      names,
    )
  every = dict(
    train_store=store,
    seed_model=None,
    sampling='fixed',
    cohort_size=6,
    rounds=1,
  )
  refused(
    quick,
    tmp_path / 'few',
    'A round cannot be completed: .* for client number',
    execution=execution.ExecutionConfig(max_bad_clients=1),
    **every,
  )
  caplog.clear()
  run(
    quick,
    tmp_path / 'many',
    execution=execution.ExecutionConfig(max_bad_clients=2),
    **every,
  )
  for name in names:
    assert f"('{name}')" in caplog.text
  assert len(rows(tmp_path / 'many')) == 2


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_after_its_round_and_the_next_call_goes_on(
  quick, tmp_path, monkeypatch, capfd, number
):
  output_dir = tmp_path / 'run'
  handler = signal.getsignal(number)
  measured = round_metrics.RoundMetrics.__call__

  calls = []

  def with_signal(self, metrics, seconds):
    calls.append(seconds)
    if len(calls) == 2:
      os.kill(os.getpid(), number)
    return measured(self, metrics, seconds)

  slow = dict(rounds=4, checkpoint_every=10, evaluate_every=10)
  with monkeypatch.context() as patched:
    patched.setattr(round_metrics.RoundMetrics, '__call__', with_signal)
    with pytest.raises(stopping.Stopped, match='after round 2 of 4') as stopped:
      run(quick, output_dir, **slow)
  assert stopped.value.signal == number
  assert f'{number.name}: the round is finished' in capfd.readouterr().err
  assert signal.getsignal(number) is handler
  assert not (output_dir / 'report.html').exists()
  assert [r['round'] for r in rows(output_dir)] == ['0', '1', '2']
  del stopped
  gc.collect()
  run(quick, output_dir, **slow)
  assert [r['round'] for r in rows(output_dir)] == ['0', '1', '2', '3', '4']
  assert ledger.Ledger(output_dir / 'ledger.jsonl').last_round == 4
  plan = quick.privacy.plan(population=4, rounds=4)
  assert summary_of(output_dir)['epsilon'] == plan.epsilons().best


def test_with_a_seed_a_run_in_parts_is_that_in_one_bit_for_bit(quick, tmp_path):
  """Whatever is dropped, blanked and shuffled on the clients."""
  seeded = changed(
    quick,
    noise_multiplier=0.0,
    insecure_cohort_seed=3,
    execution=execution.ExecutionConfig(clients_per_device=1),
    batches=client_datasets.BatchConfig(seconds=2.0, epochs=2),
  )
  for name, parts in ('whole', [3]), ('parts', [1, 3]):
    for rounds in parts:
      run(seeded, tmp_path / name, rounds=rounds)
      gc.collect()
  whole, parts = (
    model_folder.load(tmp_path / name)[0].get_weights()
    for name in ('whole', 'parts')
  )
  for one, other in zip(whole, parts, strict=True):
    np.testing.assert_array_equal(one, other)
  released = [
    [
      {k: v for k, v in row.items() if not k.startswith('seconds/')}
      for row in rows(tmp_path / name)
    ]
    for name in ('whole', 'parts')
  ]
  # Evaluated because it was the last, in one of them.
  for row in released[0][1], released[1][1]:
    for name in 'wer', 'cer', 'eval_loss':
      row.pop(name)
  assert released[0] == released[1]


def test_cohorts_repeat_with_a_seed_where_nothing_is_promised(quick):
  settings = changed(
    quick, noise_multiplier=0.0, insecure_cohort_seed=3, clipping=None
  ).privacy
  population = [f'{i}' for i in range(50)]
  for sampling in 'poisson', 'fixed':
    privacy = dataclasses.replace(settings, sampling=sampling, cohort_size=9)
    plan = dataclasses.replace(privacy, clipping=quick.privacy.clipping).plan(
      population=50, rounds=5
    )
    for of_plan in None, plan:
      first, second = (
        [sample(number) for number in range(5)]
        for sample in (privacy.cohorts(of_plan, population) for _ in range(2))
      )
      assert first == second and len({tuple(c) for c in first}) == 5


def test_a_seed_for_the_noise_takes_every_epsilon_away(quick, tmp_path):
  """That of a later run on the same clients too."""
  one = tmp_path / 'one'
  table = run(quick, one, insecure_noise_seed=7)
  assert 'epsilon   none' in table and summary_of(one)['epsilon'] == 'none'
  assert 'epsilon' not in rows(one)[-1]
  assert 'No privacy guarantee' in (one / 'report.html').read_text()
  later = dict(prior_ledgers=(one,))
  message = 'inf already'
  refused(quick, tmp_path / 'two', message, max_epsilon=1_000.0, **later)
  table = run(quick, tmp_path / 'two', **later)
  assert 'an earlier run' in table and 'epsilon   none' in table


@pytest.fixture(scope='session')
def unprotected(quick, tmp_path_factory):
  """A run with all that can be released, at sizes that are not its own."""
  output_dir = tmp_path_factory.mktemp('runs') / 'unprotected'
  table = run(
    quick,
    output_dir,
    unprotected_metrics=True,
    clipping=layer_clipping.LayerClipping(0.1, layer_bounds='adaptive'),
    accounting_cohort_size=2_000,
    accounting_population=100_000,
  )
  return output_dir, table


def test_unprotected_figures_mark_all_that_a_run_writes(unprotected):
  output_dir, table = unprotected
  last = rows(output_dir)[-1]
  assert float(last['unprotected/loss']) >= 0
  assert float(last['unprotected/clients']) >= 0
  assert float(last['unprotected/seconds/train']) > 0
  known = ('norm/', 'bound/', 'unprotected/', 'seconds/')
  rest = {name for name in last if not name.startswith(known)}
  assert rest == {
    *('round', 'wer', 'cer', 'eval_loss'),
    *('epsilon', 'epsilon_rdp', 'epsilon_pld'),
  }
  header = (output_dir / 'ledger.jsonl').read_text().splitlines()[0]
  assert json.loads(header)['plan']['unprotected_metrics']
  for text in (
    table,
    (output_dir / 'report.html').read_text(),
    (output_dir / 'summary.json').read_text(),
    (output_dir / 'UNPROTECTED.txt').read_text(),
  ):
    assert 'UNPROTECTED' in text


def test_adaptive_bounds_are_released(unprotected):
  output_dir, _ = unprotected
  released = bounds.read(output_dir / 'layer_bounds.tsv')
  last = rows(output_dir)[-1]
  for layer, bound in released.items():
    assert float(last[f'bound/{layer}']) == pytest.approx(bound, rel=1e-6)
  page = (output_dir / 'report.html').read_text()
  for plot in 'Norm of the aggregate', 'Signal to noise', 'Clipping bound':
    assert f'aria-label="{plot} by layer and round"' in page


def test_a_model_and_its_bounds_can_begin_another_run(
  finished, unprotected, quick, tmp_path
):
  released = bounds.read(unprotected[0] / 'layer_bounds.tsv')
  clipping = layer_clipping.LayerClipping(
    bounds.total(released.values()),
    layer_bounds='given',
    given_bounds=tuple(released.items()),
  )
  run(
    quick,
    tmp_path / 'run',
    clipping=clipping,
    seed_model=finished[0],
    prior_ledgers=(finished[0],),
  )
  first = rows(tmp_path / 'run')[0]
  assert float(first['wer']) == pytest.approx(
    float(rows(finished[0])[-1]['wer'])
  )


def test_the_noise_can_be_made_to_meet_an_epsilon(unprotected, quick, tmp_path):
  """Of all runs on the clients together."""
  first, second = unprotected[0], tmp_path / 'second'
  spent = summary_of(first)['epsilon']
  second_run = dict(noise_multiplier=None, prior_ledgers=(first,))
  for target in spent, spent / 2:
    message = 'runs of --prior_ledger'
    refused(quick, second, message, target_epsilon=target, **second_run)
    assert not second.exists()
  table = run(quick, second, target_epsilon=2 * spent, **second_run)
  assert 'earlier runs included' in ' '.join(table.split())
  assert 0.99 * 2 * spent < summary_of(second)['epsilon'] <= 2 * spent
  # The noise stays as it was, and the target is not exceeded.
  run(quick, second, rounds=3, target_epsilon=2 * spent, **second_run)
  assert summary_of(second)['rounds'] == 1


def test_a_hypothetical_epsilon_stands_beside_the_true_one(unprotected, quick):
  output_dir, table = unprotected
  text = ' '.join(table.split())
  plan = quick.privacy.plan(population=4, rounds=1)
  other = plan.hypothetical(2_000, 100_000)
  assert f'epsilon {plan.epsilons().best:.4g} by PLD' in text
  assert f'Hypothetical: {other.epsilons().best:.4g} by PLD' in text
  assert summary_of(output_dir)['hypothetical'] == {
    'cohort_size': 2_000,
    'population': 100_000,
    'epsilon': other.epsilons().best,
  }


def test_a_ledger_that_does_not_fit_stops_the_run(quick, tmp_path):
  output_dir = tmp_path / 'run'
  run(quick, output_dir)
  path = output_dir / 'ledger.jsonl'
  path.write_text(''.join(path.read_text().splitlines(keepends=True)[:-1]))
  refused(quick, output_dir, 'cut short', rounds=2)


def test_speakers_of_a_seed_model_are_not_in_the_population(
  finished, unprotected
):
  """Nothing was promised to them; the model says who they are."""
  (seed,) = lineage.read(finished[0] / 'seed_model')
  assert len(seed.unprotected) == 2 and not seed.ledger
  first, last = lineage.read(unprotected[0] / 'model')
  assert first == seed
  assert last.unprotected == () and last.ledger
  header = (unprotected[0] / 'ledger.jsonl').read_text().splitlines()[0]
  assert json.loads(header)['plan']['population'] == 4


def test_a_given_model_can_be_trained_further(finished, quick, tmp_path):
  """On other speakers, and with other rates of chance."""
  output_dir = tmp_path / 'run'
  run(
    quick,
    output_dir,
    rounds=0,
    seed_clients=speakers.ALL,
    chance={'dropout': 0.25},
  )
  first, second = lineage.read(output_dir / 'model')
  assert (first,) == lineage.read(finished[0] / 'seed_model')
  store = {*first.unprotected, *second.unprotected}
  assert len(store) == len(first.unprotected) + len(second.unprotected) == 6
  before, after = (
    model_folder.load(folder / 'seed_model')[0]
    for folder in (finished[0], output_dir)
  )
  assert after.config == dataclasses.replace(before.config, dropout=0.25)
  assert not np.array_equal(after.get_weights()[-1], before.get_weights()[-1])


def test_a_private_model_brings_its_ledger_with_it(quick, finished, tmp_path):
  refused(quick, tmp_path / 'run', 'prior_ledger', seed_model=finished[0])
  assert not (tmp_path / 'run').exists()


def test_nothing_is_promised_to_whom_the_model_was_trained_on(
  quick, unguarded, tmp_path
):
  refused(quick, tmp_path / 'run', 'without privacy', seed_model=unguarded)
  model = unguarded / 'model' / 'lineage.json'
  whole = model.read_text()
  model.write_text(whole[:-5])
  refused(quick, tmp_path / 'run', 'damaged', seed_model=unguarded)
  model.write_text(whole)
