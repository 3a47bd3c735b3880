"""The joint epsilon comes first, and what is false of old ledgers beside it."""

import re

import pytest

from tests import old_ledgers
from tests.runs import runs
from tff_asr import errors
from tff_asr.privacy import plan_words
from tff_asr.privacy.accounting import accountants, ledger
from tff_asr.reports import model_card, run_report
from tff_asr.runs import accounts, joint_account, records

STRONG = runs.make_plan(10**6, 1_000, 1.0)
METRICS = 'round,wer,cer,epsilon,epsilon_rdp,epsilon_pld\n0,0.6,0.3,,,\n' + (
  '1,0.5,0.2,1.0,1.1,1.0\n'
)
OLD = 'ledger version 1'


def earlier(tmp_path, rounds=20, plan=STRONG):
  return runs.account_of(tmp_path / 'earlier', plan, rounds).ledger.path


def finish(tmp_path, priors=(), rounds=1):
  """A finished run that was told of others; its folder and its table."""
  folder, _ = runs.begin(tmp_path / 'run', STRONG, rounds, metrics=METRICS)
  book = STRONG.open_ledger(folder.ledger, priors)
  promised = accounts.Account(STRONG, book, None)
  return folder, run_report.write(
    folder, promised, rounds, runs.TRANSCRIPTS, 1.5
  )


def flat(text):
  return ' '.join(text.split())


def test_every_place_gives_the_epsilon_of_all_runs_first(tmp_path):
  folder, table = finish(tmp_path, [earlier(tmp_path)])
  joint, alone = STRONG.epsilons(21), STRONG.epsilons(1)
  planned = STRONG.epsilons(50)
  record = records.read(folder.path)
  page, card = folder.report.read_text(), folder.model_card.read_text()
  text = record.account.plan_text()
  assert runs.summary_of(folder)['epsilon'] == joint.best
  assert runs.summary_of(folder)['epsilon_this_run_alone'] == alone.best
  # What was released, then what is planned.
  for where, epsilons in (
    (table, [joint]),
    (page, [joint, planned]),
    (card, [joint, planned]),
    (text, [planned]),
  ):
    given = re.findall(r'([\d.]+) by PLD, [\d.]+ by RDP,? at', flat(where))
    assert given == [accountants.text(e.best) for e in epsilons]
    assert flat(where).count('earlier runs included (this run alone') == len(
      epsilons
    )
  assert record.account.planned(30) == planned
  assert 'Earlier runs on the same clients are included' in page


def test_without_earlier_runs_nothing_is_said_of_them(tmp_path):
  folder, table = finish(tmp_path)
  record = records.read(folder.path)
  assert record.account.plan_text() == plan_words.text(STRONG)
  assert record.account.planned(30) == STRONG.epsilons()
  assert set(runs.summary_of(folder)) >= {'epsilon', 'delta'}
  assert not {'old_ledger', 'epsilon_this_run_alone'} & set(
    runs.summary_of(folder)
  )
  for text in (
    *(table, folder.report.read_text(), folder.model_card.read_text()),
    accounts.of_ledgers([folder.path], 1e-9),
  ):
    assert 'earlier runs' not in text and OLD not in text


def test_noise_is_not_blamed_for_what_earlier_runs_released(tmp_path):
  path = earlier(tmp_path, rounds=2, plan=runs.PLAN)
  _, table = finish(tmp_path, [path])
  assert 'protects nobody' in table
  assert 'enough noise' not in flat(table) and 'Hypothetical' not in table


def test_an_earlier_run_without_a_guarantee_is_named_in_the_plan(tmp_path):
  path = earlier(tmp_path, plan=runs.make_plan(insecure_noise_seed=1))
  folder, table = finish(tmp_path, [path])
  text = records.read(folder.path).account.plan_text()
  assert text.startswith('No privacy guarantee.')
  assert 'none, an earlier run' in flat(text)
  assert 'an earlier run on the same clients had no guarantee' in flat(table)


@pytest.mark.parametrize('through', ['itself', 'a prior', 'others'])
def test_an_old_ledger_is_named_beside_every_epsilon(tmp_path, through):
  if through == 'itself':
    folder, _ = runs.begin(tmp_path / 'run', STRONG, 1, metrics=METRICS)
    old_ledgers.rewrite(folder.ledger)
    book = STRONG.open_ledger(folder.ledger)  # It goes on.
    book.append(2, STRONG.release(2))
    folder.metrics.write_text(METRICS + '2,0.4,0.2,1.5,1.6,1.5\n')
    promised = accounts.Account(STRONG, book, None)
    table = run_report.write(folder, promised, 2, runs.TRANSCRIPTS, 1.5)
  else:
    path = earlier(tmp_path)
    old_ledgers.rewrite(path)
    if through == 'others':
      runs.account_of(tmp_path / 'between', STRONG, 1)
      between = tmp_path / 'between' / ledger.FILE_NAME
      STRONG.open_ledger(between, [path])
      path.unlink()
      path = between
    folder, table = finish(tmp_path, [path])
  record = records.read(folder.path)
  note = accounts.old_ledger_note(record.account.ledger)
  assert note in runs.summary_of(folder)['old_ledger']
  page = folder.report.read_text()
  for text in (
    *(table, folder.model_card.read_text()),
    *(record.account.plan_text(), accounts.of_ledgers([folder.path], 1e-9)),
    ' '.join(record.account.statement(record.rounds)),
    model_card.card_of(record),
  ):
    assert flat(text).count(flat(note)) >= 1 and OLD in note
  assert page.index(OLD) < page.index('<nav>')
  # Together with a run that has nothing to do with it.
  other, _ = runs.begin(tmp_path / 'other', STRONG)
  runs_together = [record, records.read(other.path)]
  said = joint_account.in_words(runs_together, ['run', 'other'])
  assert f'run: {note}' in said
  assert not any(text.startswith('other') and OLD in text for text in said)


def test_where_nothing_is_promised_nothing_can_be_false(tmp_path):
  plan = runs.make_plan(insecure_noise_seed=1)
  folder, _ = runs.begin(tmp_path / 'run', plan)
  old_ledgers.rewrite(folder.ledger)
  promised = records.read(folder.path).account
  assert OLD not in promised.plan_text()
  assert promised.warnings == []
  (statement,) = promised.statement(2)
  assert statement.startswith('none: ')


@pytest.mark.parametrize('delta', [0.0, 0.9, 2.0, 1.0 / runs.PLAN.population])
def test_no_epsilon_of_ledgers_has_a_delta_that_protects_nobody(
  tmp_path, delta
):
  runs.account_of(tmp_path / 'run', runs.PLAN, 3)
  with pytest.raises(errors.UserError, match='one over the population'):
    accounts.of_ledgers([tmp_path / 'run'], delta)


def test_the_epsilon_of_ledgers_is_told_in_plain_words(tmp_path):
  weak = runs.make_plan(noise_multiplier=0.01)
  for name, plan, protects in ('strong', STRONG, True), ('weak', weak, False):
    runs.account_of(tmp_path / name, plan, 3)
    text = accounts.of_ledgers([tmp_path / name], 1e-9)
    assert 'DpEvent' not in text and '(' not in text
    assert ': Gaussian noise, multiplier ' in text
    assert ('protects nobody' in text) != protects
