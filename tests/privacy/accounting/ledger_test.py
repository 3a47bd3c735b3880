"""The ledger forgets nothing, notices damage, and composes."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import dp_accounting
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from tff_asr import errors
from tff_asr.privacy.accounting import (
  accountants,
  earlier_runs,
  ledger,
  releases,
)

PLAN = {'population': 100, 'noise_multiplier': 1.0}
RELATION = accountants.Relation.ADD_OR_REMOVE_ONE
EVENT = dp_accounting.PoissonSampledDpEvent(
  0.1, dp_accounting.GaussianDpEvent(1.5)
)
RELEASE = ledger.RoundRelease(EVENT)


@pytest.fixture
def path(tmp_path):
  return tmp_path / ledger.FILE_NAME


def opened(path, **kwargs):
  return ledger.Ledger.open(
    path, **{'plan': PLAN, 'relation': RELATION, **kwargs}
  )


def with_rounds(path, rounds, release=RELEASE):
  path.parent.mkdir(exist_ok=True)
  book = opened(path)
  for number in range(1, rounds + 1):
    book.append(number, release)
  return book


def test_what_was_written_is_read(path):
  book = with_rounds(path, 3)
  again = ledger.Ledger(path)
  assert again.releases() == book.releases() == ((EVENT, 3),)
  assert (again.last_round, again.head) == (3, book.head)
  assert again.plan == PLAN and again.relation is RELATION


RELEASES = st.lists(
  st.builds(
    ledger.RoundRelease,
    st.sampled_from([1.0, 2.0]).map(dp_accounting.GaussianDpEvent),
    st.none() | st.tuples(st.integers(0, 3), st.sampled_from([4, 5])),
  ),
  max_size=12,
)


def expected(found):
  """The releases to the client with the most, counted from all rounds."""
  turns = {r.turn for r in found} - {None}
  kinds = {(r.turn[1], r.event) for r in found if r.turn}
  most = max(turns, key=[r.turn for r in found].count, default=None)
  chosen = [
    (r.event, 1)
    for r in found
    if r.turn in (None, most) or (len(kinds) > 1 and r.turn)
  ]
  return dict(accountants.merged(chosen))


@settings(max_examples=30)
@given(RELEASES, RELEASES)
def test_after_each_line_a_ledger_has_what_its_reader_has(
  tmp_path_factory, recorded, further
):
  path = tmp_path_factory.mktemp('run') / ledger.FILE_NAME
  book = opened(path)
  for number, release in enumerate(recorded, 1):
    book.append(number, release)
  again = ledger.Ledger(path)
  assert again.entries == book.entries and again.rounds == book.rounds
  assert again.copy() == book.copy()
  assert again.releases() == book.releases()
  assert dict(book.releases()) == expected(recorded)
  assert dict(book.releases(further)) == expected(recorded + further)
  assert book.releases() == again.releases()


def test_the_work_for_a_round_is_the_same_after_many_rounds(path, monkeypatch):
  """Bytes that are hashed and parsed, releases that are counted."""
  parse, count = json.loads, releases.Counts.add
  work = []

  def parsing(text):
    work.append(len(text))
    return parse(text)

  def counting(counts, release):
    work.append(1)
    count(counts, release)

  monkeypatch.setattr(json, 'loads', parsing)
  monkeypatch.setattr(releases.Counts, 'add', counting)
  monkeypatch.setattr(os, 'fsync', lambda _: None)
  book = opened(path)
  found = {}
  for number in range(100, 400):
    work.clear()
    book.append(number, RELEASE)
    assert book.releases() == ((EVENT, number - 99),)
    found[number] = list(work)
  assert found[100] == found[399] and len(found[399]) == 2


@pytest.mark.parametrize(
  'event',
  [
    EVENT,
    dp_accounting.GaussianDpEvent(0.1 + 0.2),
    dp_accounting.NonPrivateDpEvent(),
    dp_accounting.SampledWithoutReplacementDpEvent(
      100, 10, dp_accounting.GaussianDpEvent(0.5)
    ),
  ],
)
def test_every_event_is_kept_exactly(path, event):
  with_rounds(path, 1, ledger.RoundRelease(event))
  assert ledger.Ledger(path).releases() == ((event, 1),)


def test_a_repeated_round_counts_twice(path):
  book = with_rounds(path, 2)
  book.append(2, RELEASE)
  assert ledger.Ledger(path).releases() == ((EVENT, 3),)


def test_epsilon_is_that_of_all_entries(path):
  book = with_rounds(path, 20)
  expected = accountants.epsilons(((EVENT, 20),), RELATION, 1e-6)
  assert book.epsilons(1e-6) == expected
  more = accountants.epsilons(book.releases([RELEASE] * 5), RELATION, 1e-6)
  assert more == accountants.epsilons(((EVENT, 25),), RELATION, 1e-6)


def test_where_clients_take_turns_the_turn_with_most_rounds_counts(path):
  gaussian = dp_accounting.GaussianDpEvent(1.0)
  book = opened(path)
  for number, turn in enumerate([0, 1, 2, 0, 1, 1], 1):
    book.append(number, ledger.RoundRelease(gaussian, (turn, 3)))
  for either in book, ledger.Ledger(path):
    assert either.releases() == ((gaussian, 3),)
    further = [ledger.RoundRelease(gaussian, (0, 3))] * 2
    assert either.releases(further) == ((gaussian, 4),)


def test_a_line_is_on_the_disk_before_append_returns(path, monkeypatch):
  book = with_rounds(path, 1)
  synced = []
  real = os.fsync
  monkeypatch.setattr(
    os, 'fsync', lambda fd: (synced.append(path.read_bytes()), real(fd))
  )
  book.append(2, RELEASE)
  assert synced == [path.read_bytes()]
  assert synced[0].count(b'\n') == 3


def test_a_whole_line_counts_without_its_end(path):
  """An editor may have taken the end away."""
  with_rounds(path, 3)
  whole = path.read_bytes()
  path.write_bytes(whole[:-1])
  book = ledger.Ledger(path)
  assert book.last_round == 3 and book.releases() == ((EVENT, 3),)
  book = opened(path)
  book.append(4, RELEASE)
  assert path.read_bytes().startswith(whole)
  assert ledger.Ledger(path).releases() == ((EVENT, 4),)


@pytest.mark.parametrize('cut', [2, 10, 100])
def test_a_line_without_its_end_never_happened(path, cut):
  """It was not synced, so nothing was released on its account."""
  with_rounds(path, 3)
  whole = path.read_bytes()
  path.write_bytes(whole[:-cut])
  assert ledger.Ledger(path).last_round == 2
  book = opened(path)
  book.append(3, RELEASE)
  lines = path.read_bytes().splitlines(keepends=True)
  assert lines[:-1] == whole.splitlines(keepends=True)[:-1]
  assert ledger.Ledger(path).last_round == 3


def test_a_long_line_without_its_end_leaves_nothing(path):
  with_rounds(path, 2)
  whole = path.read_bytes()
  path.write_bytes(whole + b'x' * 5_000)
  opened(path).append(3, RELEASE)
  assert ledger.Ledger(path).last_round == 3
  assert path.read_bytes().startswith(whole) and b'x' not in path.read_bytes()


def test_a_ledger_that_was_killed_at_birth_begins_anew(path):
  path.write_bytes(b'{"ledger": 1, "na')
  assert not ledger.has_begun(path)
  assert opened(path).releases() == ()
  assert opened(path).last_round == 0
  assert ledger.has_begun(path)


def damaged_texts(text):
  lines = text.splitlines(keepends=True)
  yield 'a line is missing', ''.join(lines[:2] + lines[3:])
  yield (
    'two lines are exchanged',
    ''.join([lines[0], lines[2], lines[1], *lines[3:]]),
  )
  yield 'a number was changed', text.replace('1.5', '9.5', 1)
  yield 'the plan was changed', text.replace('100', '900', 1)
  yield 'it is no JSON', text.replace('{', '[', 2)
  yield 'a type is unknown', text.replace('GaussianDpEvent', 'FreeLunch')
  yield 'the first line is missing', ''.join(lines[1:])
  yield 'bytes are lost', text[:40] + '\0\0\0' + text[43:]


@pytest.mark.parametrize('case', range(8))
def test_damage_is_noticed(path, case):
  with_rounds(path, 4)
  what, text = list(damaged_texts(path.read_text()))[case]
  path.write_text(text)
  for use in (lambda: ledger.Ledger(path), lambda: opened(path)):
    with pytest.raises(errors.UserError, match='damaged') as caught:
      use()
    assert str(path) in str(caught.value), what


def test_there_must_be_one(path, tmp_path):
  for missing in path, tmp_path / 'nowhere' / 'x', tmp_path:
    with pytest.raises(errors.UserError, match='no privacy ledger'):
      ledger.Ledger(missing)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(plan={**PLAN, 'population': 90}), 'population was 100, is 90'),
    (dict(relation=accountants.Relation.REPLACE_ONE), 'another plan'),
  ],
)
def test_a_ledger_of_another_plan_is_refused(path, changes, message):
  with_rounds(path, 1)
  with pytest.raises(errors.UserError, match=message):
    opened(path, **changes)


def test_a_checkpoint_must_be_in_the_ledger(path, caplog):
  book = opened(path)
  entries = [''] + [book.append(number, RELEASE) for number in (1, 2, 3)]
  book.check_fits(3, entries[3])
  assert not caplog.text
  for number in 0, 1, 2:  # What a kill before the next checkpoint leaves.
    book.check_fits(number, entries[number])
    assert (
      f'rounds up to 3, but the last checkpoint is of round {number}'
      in (caplog.messages[-1])
    )
  with pytest.raises(errors.UserError, match='lacks the entry of round 3'):
    book.check_fits(3, 'ab' * 32)
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(b''.join(lines[:-1]))
  with pytest.raises(errors.UserError, match='cut short'):
    ledger.Ledger(path).check_fits(3, entries[3])


def folder_with_rounds(tmp_path, name, rounds, release=RELEASE):
  (tmp_path / name).mkdir(exist_ok=True)
  return with_rounds(tmp_path / name / ledger.FILE_NAME, rounds, release)


def test_earlier_runs_on_the_same_clients_compose(tmp_path, path):
  """Once each, however they are told of, with what they were told of."""
  other = dp_accounting.GaussianDpEvent(5.0)
  first = folder_with_rounds(tmp_path, 'first', 2)
  second = folder_with_rounds(tmp_path, 'second', 3, ledger.RoundRelease(other))
  ledger.Ledger.open(second.path, PLAN, RELATION, [tmp_path / 'first'])
  priors = [tmp_path / 'first', second.path, tmp_path / 'second']
  book = opened(path, priors=priors)
  assert dict(book.releases()) == {EVENT: 2, other: 3}
  assert dict(earlier_runs.released(priors, RELATION)) == {EVENT: 2, other: 3}
  book.append(1, RELEASE)
  assert dict(ledger.Ledger(path).releases()) == {EVENT: 3, other: 3}
  assert book.has_priors and not first.has_priors
  # Both may be gone: what they held is in the ledger.
  first.path.unlink()
  second.path.unlink()
  assert dict(opened(path).releases()) == {EVENT: 3, other: 3}


def test_an_earlier_run_that_went_on_is_read_again(tmp_path, path):
  first = folder_with_rounds(tmp_path, 'first', 2)
  opened(path, priors=[tmp_path / 'first'])
  first.append(3, RELEASE)
  book = opened(path, priors=[tmp_path / 'first'])
  assert book.releases() == ((EVENT, 3),)
  size = path.stat().st_size
  opened(path, priors=[tmp_path / 'first'])
  assert path.stat().st_size == size


def test_a_ledger_that_two_runs_went_on_with_is_refused(tmp_path):
  """What each released since then adds up; as many rounds hide nothing."""
  folder_with_rounds(tmp_path, 'first', 2)
  folder, fork = tmp_path / 'first', tmp_path / 'fork'
  shutil.copytree(folder, fork)
  own = ledger.Ledger(folder / ledger.FILE_NAME)
  other = ledger.Ledger(fork / ledger.FILE_NAME)
  assert earlier_runs.released([folder, fork], own.relation) == own.releases()
  own.append(3, RELEASE)
  # The fork is an older copy until it goes on as well.
  assert earlier_runs.released([fork, folder], own.relation) == own.releases()
  for number in 3, 4:
    other.append(number, RELEASE)
    for order in [folder, fork], [fork, folder]:
      with pytest.raises(errors.UserError, match='were both resumed'):
        earlier_runs.released(order, own.relation)
  with pytest.raises(errors.UserError, match='were both resumed'):
    own._add_prior(fork)


def test_an_older_copy_of_a_ledger_never_takes_the_place_of_a_later_one(
  tmp_path, path
):
  """Such as what another run was told before the first one went on."""
  first = folder_with_rounds(tmp_path, 'first', 2)
  second = folder_with_rounds(tmp_path, 'second', 1)
  ledger.Ledger.open(second.path, PLAN, RELATION, [first.path])
  first.append(3, RELEASE)
  for paths in (first.path, second.path), (second.path, first.path):
    assert earlier_runs.released(paths, RELATION) == ((EVENT, 4),)
    path.unlink(missing_ok=True)
    assert opened(path, priors=paths).releases() == ((EVENT, 4),)
    assert ledger.Ledger(path).releases() == ((EVENT, 4),)


def test_a_run_is_not_its_own_past(tmp_path, path):
  book = with_rounds(path, 2)
  again = opened(path, priors=[path])
  assert again.releases() == book.releases()


def test_an_earlier_run_with_other_neighbours_is_refused(tmp_path, path):
  folder_with_rounds(tmp_path, 'first', 1)
  with pytest.raises(errors.UserError, match='do not add up'):
    opened(
      path,
      relation=accountants.Relation.REPLACE_ONE,
      priors=[tmp_path / 'first'],
    )


def test_a_client_in_the_fullest_turn_of_each_run_is_counted(tmp_path, path):
  gaussian = dp_accounting.GaussianDpEvent(1.0)
  folder = tmp_path / 'first'
  folder.mkdir()
  first = ledger.Ledger.open(folder / ledger.FILE_NAME, PLAN, RELATION)
  for number, turn in enumerate([0, 1, 1], 1):
    first.append(number, ledger.RoundRelease(gaussian, (turn, 2)))
  book = opened(path, priors=[folder])
  book.append(1, ledger.RoundRelease(gaussian, (0, 4)))
  assert book.releases() == ((gaussian, 3),)


def test_a_full_disk_is_an_error_and_the_ledger_stays_whole(path):
  """A file size limit in a child: Python sees EFBIG as it would see ENOSPC."""
  with_rounds(path, 2)
  whole = path.read_bytes()
  child = os.fork()
  if child == 0:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, -1))
    try:
      opened(path).append(3, RELEASE)
    except OSError as error:
      os._exit(7 if error.errno == errno.EFBIG else 1)
    os._exit(1)
  _, status = os.waitpid(child, 0)
  assert os.waitstatus_to_exitcode(status) == 7
  assert path.read_bytes()[: len(whole)] == whole
  book = opened(path)
  assert book.last_round == 2
  book.append(3, RELEASE)
  assert ledger.Ledger(path).last_round == 3


_OTHER_PROCESS = """
import pathlib, sys
from tff_asr.privacy.accounting import ledger
book = ledger.Ledger(pathlib.Path(sys.argv[1]))
print(book.head, book.last_round)
"""


def test_another_process_reads_the_same(path):
  book = with_rounds(path, 2)
  found = subprocess.run(
    [sys.executable, '-c', _OTHER_PROCESS, str(path)],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
    capture_output=True,
    text=True,
    check=True,
  ).stdout.split()
  assert found == [book.head, '2']


def test_the_file_can_be_read_by_people(path):
  with_rounds(path, 1)
  header, entry = map(json.loads, path.read_text().splitlines())
  assert header['plan'] == PLAN and header['relation'] == 'ADD_OR_REMOVE_ONE'
  assert entry['round'] == 1
  assert entry['event']['event']['noise_multiplier'] == 1.5


def test_of_two_open_handles_none_erases_a_round_of_the_other(path):
  first, second = opened(path), opened(path)
  for number in range(1, 4):
    first.append(number, RELEASE)
  before = path.read_bytes()
  with pytest.raises(errors.UserError, match='has changed since'):
    second.append(1, RELEASE)
  assert path.read_bytes() == before
  first.append(4, RELEASE)
  opened(path).append(5, RELEASE)
  with pytest.raises(errors.UserError, match='has changed since'):
    first.append(5, RELEASE)
  assert ledger.Ledger(path).rounds == {1, 2, 3, 4, 5}


def test_a_ledger_that_lost_lines_under_its_handle_takes_no_more(path):
  book = with_rounds(path, 3)
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(b''.join(lines[:-1]))
  with pytest.raises(errors.UserError, match='has changed since'):
    book.append(4, RELEASE)


def test_two_processes_cannot_both_begin_a_ledger(path, monkeypatch):
  """Both find no ledger; the one that writes second is refused."""
  real = ledger.has_begun
  monkeypatch.setattr(ledger, 'has_begun', lambda _: False)
  first = opened(path)
  with pytest.raises(errors.UserError, match='has changed since'):
    opened(path)
  monkeypatch.setattr(ledger, 'has_begun', real)
  first.append(1, RELEASE)
  assert ledger.Ledger(path).name == first.name


def test_a_ledger_of_a_plan_takes_no_release_of_another(path):
  book = opened(path, release_of=lambda number: RELEASE)
  book.append(1, ledger.RoundRelease(EVENT))
  weaker = ledger.RoundRelease(dp_accounting.GaussianDpEvent(100.0))
  with pytest.raises(errors.UserError, match='round 2 is not of the plan'):
    book.append(2, weaker)
  assert ledger.Ledger(path).releases() == ((EVENT, 1),)


def test_an_event_that_cannot_be_read_again_is_not_written(path):
  book = with_rounds(path, 1)
  before = path.read_bytes()
  with pytest.raises(KeyError):
    book.append(2, ledger.RoundRelease(dp_accounting.LaplaceDpEvent(1.0)))
  assert path.read_bytes() == before


def test_a_prior_that_cannot_be_read_leaves_no_ledger(path, tmp_path):
  damaged = tmp_path / 'damaged.jsonl'
  damaged.write_text('nothing\n')
  for prior in damaged, tmp_path / 'missing.jsonl':
    with pytest.raises(errors.UserError):
      opened(path, priors=[prior])
    assert not path.exists()
