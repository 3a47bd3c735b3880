"""Every release of every copy of a ledger is counted, however it is told of."""

import itertools
import json
import pathlib
import shutil
import tempfile

import dp_accounting
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from tests import old_ledgers
from tff_asr import errors
from tff_asr.privacy.accounting import (
  accountants,
  earlier_runs,
  event_records,
  ledger,
)

PLAN = {'population': 100}
RELATION = accountants.Relation.ADD_OR_REMOVE_ONE
FIXTURE = pathlib.Path(__file__).with_name('ledger_v1.jsonl')


class World:
  """Ledgers, and what was truly released to the clients of each.

  Each release has a noise multiplier of its own, so that it can be told from
  all others in what is counted.
  """

  def __init__(self, folder):
    self.paths = []
    self.own = []  # By ledger, its releases in order.
    self.told = []  # By ledger, the releases of all that it was told of.
    self.families = []  # Number of the ledger that it is a copy of, or its own.
    self._folder = folder
    self._ids = itertools.count(1)

  def begin(self, old=False):
    path = self._folder / f'{len(self.paths)}.jsonl'
    if old:
      old_ledgers.begin(path, PLAN)
    else:
      ledger.Ledger.open(path, PLAN, RELATION)
    self._add(path, [], set(), len(self.paths))

  def copy(self, number):
    path = self._folder / f'{len(self.paths)}.jsonl'
    shutil.copy(self.paths[number], path)
    self._add(
      path, self.own[number][:], set(self.told[number]), self.families[number]
    )

  def release(self, number, old=False):
    release = next(self._ids)
    event = dp_accounting.GaussianDpEvent(float(release))
    round_number = len(self.own[number]) + 1
    if old:
      record = {
        'round': round_number,
        'event': event_records.to_json(event),
        'nonce': f'{release:016x}',
      }
      old_ledgers.add(self.paths[number], record)
    else:
      book = ledger.Ledger.open(self.paths[number], PLAN, RELATION)
      book.append(round_number, ledger.RoundRelease(event))
    self.own[number].append(release)

  def tell(self, number, others):
    """Raises a `UserError` if that is refused."""
    paths = [self.paths[other] for other in others]
    ledger.Ledger.open(self.paths[number], PLAN, RELATION, paths)
    for other in others:
      self.told[number] |= self.told[other] | set(self.own[other])

  def tell_as_before(self, number, other):
    """As version 1 did: no more than the last line, and the number."""
    if number == other:
      return
    book = ledger.Ledger(self.paths[other])
    old_ledgers.tell(
      self.paths[number],
      book.name,
      book.head,
      [
        [event_records.to_json(dp_accounting.GaussianDpEvent(float(i))), 1]
        for i in self.own[other]
      ],
    )
    self.told[number] |= set(self.own[other])

  def check(self, number, exactly):
    releases = ledger.Ledger(self.paths[number]).releases()
    counts = {event.noise_multiplier: count for event, count in releases}
    for release in self.told[number] | set(self.own[number]):
      assert counts.get(float(release), 0) >= 1
      assert counts[float(release)] == 1 or not exactly

  def forked(self):
    """Whether two copies of a ledger were both resumed."""
    for (i, one), (j, other) in itertools.combinations(enumerate(self.own), 2):
      size = min(len(one), len(other))
      if self.families[i] == self.families[j] and one[:size] != other[:size]:
        return True
    return False

  def is_behind(self, number):
    """Whether a copy of a ledger has gone on further."""
    own = self.own[number]
    return any(
      family == self.families[number]
      and len(other) > len(own)
      and other[: len(own)] == own
      for family, other in zip(self.families, self.own, strict=True)
    )

  def _add(self, path, own, told, family):
    self.paths.append(path)
    self.own.append(own)
    self.told.append(told)
    self.families.append(family)


@pytest.fixture
def world(tmp_path):
  return World(tmp_path)


def pick(data, world):
  return data.draw(st.integers(0, len(world.paths) - 1))


def history(data, world, actions):
  """Does something random; returns whether a telling was refused."""
  action = data.draw(st.sampled_from(actions))
  number = pick(data, world)
  if action == 'release':
    world.release(number)
  elif action == 'copy':
    world.copy(number)
  elif action == 'tell_as_before':
    world.tell_as_before(number, pick(data, world))
  else:
    others = [pick(data, world) for _ in range(data.draw(st.integers(1, 3)))]
    try:
      world.tell(number, others)
    except errors.UserError as error:
      if 'cut short' in str(error):
        assert world.is_behind(number)
      else:
        assert 'were both resumed' in str(error) and world.forked()
      return True
  return False


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_history_of_copies_and_tellings_hides_a_release(data):
  """Each release is counted, or the telling is refused."""
  with tempfile.TemporaryDirectory() as folder:
    world = World(pathlib.Path(folder))
    for _ in range(3):
      world.begin()
    for _ in range(data.draw(st.integers(1, 20))):
      refused = history(data, world, ['release', 'release', 'copy', 'tell'])
      exactly = not world.forked()
      # An older copy, told of a later one, is refused as well: to go on with
      # it would be a fork.
      for number in range(len(world.paths)):
        world.check(number, exactly and not refused)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_without_copies_nothing_is_refused_and_each_release_counts_once(data):
  with tempfile.TemporaryDirectory() as folder:
    world = World(pathlib.Path(folder))
    for _ in range(4):
      world.begin()
    for _ in range(data.draw(st.integers(1, 25))):
      assert not history(data, world, ['release', 'tell'])
      for number in range(len(world.paths)):
        world.check(number, exactly=True)
    everything = earlier_runs.released(world.paths, RELATION)
    assert {count for _, count in everything} <= {1}
    assert len(everything) == sum(map(len, world.own))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_nothing_that_version_1_recorded_is_counted_too_little(data):
  """Some ledgers of its time are gone on with, others are told of them."""
  with tempfile.TemporaryDirectory() as folder:
    world = World(pathlib.Path(folder))
    for _ in range(3):
      world.begin(old=True)
    for _ in range(data.draw(st.integers(0, 8))):
      if data.draw(st.booleans()):
        world.release(pick(data, world), old=True)
      else:
        world.tell_as_before(pick(data, world), pick(data, world))
    world.begin()
    actions = ['release', 'tell']
    for _ in range(data.draw(st.integers(1, 12))):
      # An old record of itself is of lines that a ledger has.
      assert not history(data, world, actions)
      for number in range(len(world.paths)):
        world.check(number, exactly=False)


def forked(world):
  """A with ten rounds, and a copy that parted after three and did five more."""
  world.begin()
  for _ in range(3):
    world.release(0)
  world.copy(0)
  for _ in range(7):
    world.release(0)
  for _ in range(5):
    world.release(1)


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_a_fork_that_is_told_of_in_two_calls_is_refused(world, order):
  forked(world)
  world.begin()
  world.tell(2, order[:1])
  with pytest.raises(errors.UserError, match='were both resumed'):
    world.tell(2, order[1:])
  world.check(2, exactly=True)


@pytest.mark.parametrize('order', [(2, 3), (3, 2), (4, 3), (3, 4)])
def test_a_fork_that_others_tell_of_is_refused(world, order):
  """2 knows of one copy, 3 of the other, and 4 of what 2 knows."""
  forked(world)
  for _ in range(4):
    world.begin()
  world.tell(2, [0])
  world.tell(3, [1])
  world.tell(4, [2])
  with pytest.raises(errors.UserError, match='were both resumed'):
    world.tell(5, order)
  with pytest.raises(errors.UserError, match='were both resumed'):
    earlier_runs.released([world.paths[i] for i in order], RELATION)
  world.tell(5, order[:1])
  with pytest.raises(errors.UserError, match='were both resumed'):
    world.tell(5, order[1:])


def test_a_run_whose_copy_another_was_told_of_is_refused(world):
  forked(world)
  world.begin()
  world.tell(2, [1])
  with pytest.raises(errors.UserError, match='were both resumed'):
    world.tell(0, [2])


def test_a_ledger_that_lacks_rounds_which_others_know_is_not_gone_on_with(
  world,
):
  world.begin()
  world.begin()
  for _ in range(5):
    world.release(0)
  world.tell(1, [0])
  lines = world.paths[0].read_text().splitlines(keepends=True)
  world.paths[0].write_text(''.join(lines[:-2]))
  with pytest.raises(errors.UserError, match='2 further rounds'):
    world.tell(0, [1])


def test_a_ledger_that_was_cut_is_named_where_others_know_more(world, caplog):
  """Its releases are counted as they are known."""
  world.begin()
  world.begin()
  world.begin()
  for _ in range(5):
    world.release(0)
  world.tell(1, [0])
  lines = world.paths[0].read_text().splitlines(keepends=True)
  world.paths[0].write_text(''.join(lines[:-2]))
  for use in (
    lambda: earlier_runs.released([world.paths[0], world.paths[1]], RELATION),
    lambda: world.tell(2, [0, 1]),
    lambda: world.tell(1, [0]),
  ):
    caplog.clear()
    use()
    assert '2 further rounds' in caplog.text
    assert str(world.paths[0]) in caplog.text
  world.check(2, exactly=True)


def test_a_record_of_an_earlier_run_is_as_short_as_its_news(world):
  world.begin()
  world.begin()
  for _ in range(50):
    world.release(0)
    world.tell(1, [0])
  records = [json.loads(x) for x in world.paths[1].read_text().splitlines()]
  assert [r['after'] for r in records[1:]] == list(range(50))
  assert {len(r['rounds']) for r in records[1:]} == {16}
  lines = world.paths[1].read_text().splitlines(keepends=True)
  size = world.paths[1].stat().st_size
  world.tell(1, [0])
  assert world.paths[1].stat().st_size == size
  # One that is missing is noticed, chained or not.
  del records[1]['hash']
  broken = [lines[0], *lines[2:]]
  world.paths[1].write_text(''.join(broken))
  with pytest.raises(errors.UserError, match='damaged'):
    ledger.Ledger(world.paths[1])


def test_a_file_of_version_1_is_read_and_gone_on_with(tmp_path):
  """It was told of a run at two rounds, and at three; which had no fork."""
  path = tmp_path / ledger.FILE_NAME
  shutil.copy(FIXTURE, path)
  plan = {'population': 100, 'noise_multiplier': 1.0}
  book = ledger.Ledger(path)
  assert book.has_old and book.last_round == 2
  # Nothing shows that its two records are of one list: both count.
  ((event, count),) = book.releases()
  assert count == 2 + 2 + 3
  book = ledger.Ledger.open(path, plan, RELATION)
  book.append(3, ledger.RoundRelease(event))
  again = ledger.Ledger(path)
  assert again.releases() == ((event, 8),) and again.has_old
  assert path.read_text().startswith(FIXTURE.read_text())


def test_the_ledger_itself_settles_what_version_1_left_open(world):
  world.begin(old=True)
  world.begin(old=True)
  world.tell_as_before(1, 0)  # By its first line.
  for _ in range(3):
    world.release(0, old=True)
    world.tell_as_before(1, 0)
  with pytest.raises(AssertionError):
    world.check(1, exactly=True)
  world.begin()
  world.tell(2, [1])
  with pytest.raises(AssertionError):
    world.check(2, exactly=True)
  for number in 1, 2:
    world.release(0)
    world.tell(number, [0])
    world.check(number, exactly=True)
  # For good, and through others.
  world.begin()
  world.tell(3, [2])
  world.begin()
  world.tell(4, [3, 1])
  for number in 3, 4:
    world.check(number, exactly=True)
    assert ledger.Ledger(world.paths[number]).has_old


def test_what_version_1_knew_of_a_fork_counts_beside_the_other_copy(world):
  world.begin(old=True)
  for _ in range(3):
    world.release(0, old=True)
  world.copy(0)
  for number, rounds in (0, 7), (1, 5):
    for _ in range(rounds):
      world.release(number, old=True)
  world.begin(old=True)
  world.tell_as_before(2, 0)
  world.tell(2, [1])
  world.check(2, exactly=False)
  # Of the run itself nobody may know another copy.
  world.begin(old=True)
  world.tell_as_before(3, 1)
  with pytest.raises(errors.UserError, match='were both resumed'):
    world.tell(0, [3])


def test_only_what_was_told_of_an_old_ledger_is_old(world):
  world.begin(old=True)
  for _ in range(4):
    world.begin()
  world.tell(1, [0])
  world.tell(2, [1])
  old = [ledger.Ledger(path).has_old for path in world.paths]
  assert old == [True, True, True, False, False]
  assert earlier_runs.known(world.paths[2:3], RELATION).has_old
  assert not earlier_runs.known(world.paths[3:], RELATION).has_old


def test_a_ledger_reads_again_what_others_have_released_since(world):
  world.begin()
  world.begin()
  book = ledger.Ledger.open(world.paths[1], PLAN, RELATION, [world.paths[0]])
  assert not book.read_priors() and not book.has_priors
  world.release(0)
  assert book.read_priors() and book.has_priors
  assert not book.read_priors()
  world.release(0)
  assert book.read_priors()
  assert book.releases() == ledger.Ledger(world.paths[0]).releases()
  assert ledger.Ledger(world.paths[1]).releases() == book.releases()
  world.paths[0].unlink()
  with pytest.raises(errors.UserError, match='no privacy ledger'):
    book.read_priors()


def test_two_runs_that_tell_each_other_count_both_once(world):
  world.begin()
  world.begin()
  for _ in range(3):
    for own, other in (0, 1), (1, 0):
      world.tell(own, [other])
      world.release(own)
  world.tell(0, [1])
  for number in 0, 1:
    world.check(number, exactly=True)
  first, second = (ledger.Ledger(p).releases() for p in world.paths)
  assert dict(first) == dict(second)
