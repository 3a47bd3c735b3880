"""A ledger that was cut shows wherever its folder knows more."""

import asyncio
import json

import pytest

from tests.runs import runs
from tff_asr import checksums, errors
from tff_asr.commands import export
from tff_asr.privacy.accounting import ledger
from tff_asr.programs import program_logic
from tff_asr.reports import run_report
from tff_asr.runs import accounts, checkpoints, joint_account, whole_ledger
from tff_asr.runs import records as run_record


def cut(path, lines=1):
  """Leaves a ledger as though the last rounds had not been."""
  whole = path.read_text().splitlines(keepends=True)
  path.write_text(''.join(whole[:-lines]))


def save(folder, entries):
  """Checkpoints as a run leaves them."""
  kept = checkpoints.Checkpoints(folder, keep_last=9)
  for number, entry in enumerate(entries):
    state = program_logic.ProgramState({'x': 1.0}, number, entry, '{}')
    asyncio.run(kept.save(state, number))


def test_a_whole_ledger_passes(tmp_path):
  folder, promised = runs.begin(tmp_path / 'run', runs.PLAN)
  save(folder.checkpoints, ['', *promised.ledger.entries[1:]])
  for path in folder.path, folder.ledger:
    whole_ledger.check(path)
  # Recorded, and killed before anything was released.
  promised.ledger.append(3, runs.PLAN.release(3))
  whole_ledger.check(folder.path)


@pytest.mark.parametrize('lines', [1, 2])
def test_metrics_show_it(tmp_path, lines):
  folder, _ = runs.finish(tmp_path / 'run', runs.PLAN)
  cut(folder.ledger, lines)
  for use in (
    lambda: whole_ledger.check(folder.path),
    lambda: whole_ledger.check(folder.ledger),
    lambda: run_report.again(folder.path),
    lambda: accounts.of_ledgers([folder.path], 1e-9),
    lambda: run_record.read(folder.path),
  ):
    with pytest.raises(errors.UserError, match=f'round {3 - lines}, although'):
      use()


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """A finished run of which only ledger and summary are left."""
  folder, _ = runs.finish(tmp_path_factory.mktemp('alone') / 'run', runs.PLAN)
  folder.metrics.unlink()
  return folder


def test_a_cut_at_any_byte_shows_by_the_summary_alone(alone):
  """But that of the end of the last line, which is known to be whole."""
  whole = alone.ledger.read_bytes()
  try:
    for size in range(len(whole) - 1):
      alone.ledger.write_bytes(whole[:size])
      with pytest.raises(errors.UserError, match=r'ledger\.jsonl') as caught:
        whole_ledger.check(alone.path)
      assert '\n' not in str(caught.value)
    alone.ledger.write_bytes(whole[:-1])
    whole_ledger.check(alone.path)
  finally:
    alone.ledger.write_bytes(whole)


@pytest.mark.parametrize('has_head', [True, False])
def test_report_and_export_see_what_only_the_summary_knows(tmp_path, has_head):
  """Also what another run released, and by its epsilon in an old summary."""
  runs.begin(tmp_path / 'other', runs.PLAN)
  folder, promised = runs.begin(tmp_path / 'run', runs.PLAN)
  book = runs.PLAN.open_ledger(folder.ledger, [tmp_path / 'other'])
  promised = accounts.Account(runs.PLAN, book, None)
  run_report.write(folder, promised, 2, runs.TRANSCRIPTS, 1.0)
  if not has_head:
    summary = runs.summary_of(folder)
    del summary[whole_ledger.HEAD]
    checksums.write(folder.summary, json.dumps(summary))
  run_report.again(folder.path)
  cut(folder.ledger)  # The line of the other run is the last.
  assert ledger.Ledger(folder.ledger).rounds == {1, 2}
  for use in (
    lambda: run_report.again(folder.path),
    lambda: export.export(folder.path, tmp_path / 'served', 'a', 0, 9.0, []),
    lambda: accounts.of_ledgers([folder.path], 1e-9),
    lambda: whole_ledger.check(folder.path),
  ):
    with pytest.raises(errors.UserError, match=r'counts less than summary'):
      use()


def test_a_checkpoint_shows_it(tmp_path):
  """Also the second entry of a round that was repeated."""
  folder, promised = runs.begin(tmp_path / 'run', runs.PLAN)
  first, _ = promised.ledger.entries[1:]
  again = promised.ledger.append(2, runs.PLAN.release(2))
  save(folder.checkpoints, ['', first, again])
  whole_ledger.check(folder.path)
  cut(folder.ledger)
  with pytest.raises(errors.UserError, match='round 2, although'):
    whole_ledger.check(folder.path)
  # A checkpoint that is damaged, or half there, shows nothing.
  (folder.checkpoints / 'round_000002.npz').write_bytes(b'PK')
  (folder.checkpoints / 'round_000009.npz.partial').write_bytes(b'PK')
  with open(folder.metrics, 'a') as file:
    file.write('3,0')
  whole_ledger.check(folder.path)
  folder.ledger.unlink()
  with pytest.raises(errors.UserError, match='no privacy ledger'):
    whole_ledger.check(folder.path)


def test_runs_that_are_compared_are_checked(tmp_path):
  folders = [runs.begin(tmp_path / n, runs.PLAN)[0].path for n in 'ab']
  records = [run_record.read(path) for path in folders]
  assert joint_account.in_words(records, 'ab')
  cut(records[1].paths.ledger)
  with pytest.raises(errors.UserError, match='cut short'):
    run_record.read(folders[1])


def test_a_ledger_by_itself_has_nothing_to_compare_with(tmp_path):
  folder, _ = runs.begin(tmp_path / 'run', runs.PLAN)
  alone = tmp_path / 'copy.jsonl'
  folder.ledger.rename(alone)
  cut(alone)
  whole_ledger.check(alone)
