"""Records the releases of a run permanently: the privacy ledger.

The ledger is a text file.  Before a run releases anything of a round, it adds a
line and syncs the line to the disk.  So the ledger counts every release, even
if the run is killed at any point.  It may count more, never less.  Epsilon is
always computed from the ledger.

The first line records the plan.  Every other line records the event of a round,
or the releases of another run to the same clients (`priors.py`).  Each line
ends with a hash of itself and of the line before it.  So a changed line, or a
missing line between others, is detected.  The hash is not a signature: an
attacker can forge a ledger.  Missing lines at the end are detected only if
another file knows of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import fcntl
import json
import os
import pathlib
import secrets
from typing import Any
import uuid

from absl import logging

from tff_asr import durable, errors
from tff_asr.privacy.accounting import (
  accountants,
  event_records,
  ledger_contents,
  ledger_lines,
  priors,
  releases,
)

FILE_NAME = 'ledger.jsonl'

RoundRelease = releases.RoundRelease


class Ledger:
  """Reads and extends the ledger of one run."""

  def __init__(
    self, path: pathlib.Path, prior_paths: Sequence[pathlib.Path] = ()
  ):
    """Reads a ledger.

    Args:
      path: File of the ledger.
      prior_paths: Ledgers (or run folders) of earlier runs on the same clients,
        for `read_priors`.

    Raises:
      UserError: If the file is missing or damaged.
    """
    if not path.is_file():
      raise errors.UserError(
        f'There is no privacy ledger at {path}: the run had no privacy plan, or'
        ' the ledger was removed. Restore it, or give another folder.'
      )
    self.path = path
    self._contents = ledger_contents.read(path)
    self._prior_paths = tuple(prior_paths)
    self._seen: dict[pathlib.Path, tuple[int, int] | None] = {}
    self._release_of: Callable[[int], RoundRelease] | None = None

  @classmethod
  def read(cls, path: pathlib.Path, relation: accountants.Relation) -> 'Ledger':
    """Reads a ledger, to add its releases to the releases of others.

    Args:
      path: File of the ledger, or folder of its run.
      relation: The neighbouring relation of the others.

    Raises:
      UserError: If the file is missing or damaged, or the ledger has another
        neighbouring relation.
    """
    ledger = cls(file_of(path))
    errors.require(
      ledger.relation is relation,
      f'The neighbouring relation of {ledger.path} is {ledger.relation.name},'
      f' the relation of this run is {relation.name}: their epsilons do not add'
      ' up. Use the same `sampling`.',
    )
    return ledger

  @classmethod
  def open(
    cls,
    path: pathlib.Path,
    plan: Mapping[str, Any],
    relation: accountants.Relation,
    priors: Sequence[pathlib.Path] = (),
    release_of: Callable[[int], RoundRelease] | None = None,
  ) -> 'Ledger':
    """Opens the ledger of a run to add to it, or creates the ledger.

    Args:
      path: File of the ledger.
      plan: Facts of the plan on which the guarantee depends.  They must stay
        the same for the whole run.
      relation: The neighbouring relation between populations.
      priors: Ledgers (or run folders) of earlier runs on the same clients.
      release_of: Returns the only release of a round that the ledger takes; by
        default the ledger takes any release.

    Raises:
      UserError: If the ledger is damaged or of another plan, the ledger of an
        earlier run is missing, damaged or has another neighbouring relation, or
        two copies of one ledger were both resumed.
    """
    plan = json.loads(json.dumps(plan))  # Comparable with the plan in a file.
    errors.require(
      path.parent.is_dir() and not path.is_dir(),
      f'{path} cannot be a privacy ledger: it must be a file in a folder that'
      ' exists.',
    )
    for prior in priors:
      cls.read(prior, relation).known()  # A bad one leaves no new ledger.
    if not has_begun(path):
      path.touch()
      durable.sync(path.parent)
      header = {
        'ledger': ledger_contents.VERSION,
        'name': str(uuid.uuid4()),
        'relation': relation.name,
        'plan': plan,
      }
      with _alone(path, 0):
        durable.append(path, 0, ledger_lines.line(header, ''))
    ledger = cls(path, priors)
    ledger._release_of = release_of
    if (ledger.plan, ledger.relation) != (plan, relation):
      changed = [
        f'{key} was {ledger.plan.get(key)}, is {plan.get(key)}'
        for key in sorted(ledger.plan.keys() | plan.keys())
        if ledger.plan.get(key) != plan.get(key)
      ]
      raise errors.UserError(
        f'The privacy ledger {path} is of another plan ({"; ".join(changed)}):'
        ' give another `output_dir`, or resume with the same settings.'
      )
    ledger.read_priors()
    return ledger

  @property
  def name(self) -> str:
    """Unique name of the ledger."""
    return self._contents.name

  @property
  def relation(self) -> accountants.Relation:
    """The neighbouring relation between populations."""
    return self._contents.relation

  @property
  def plan(self) -> dict[str, Any]:
    """Facts of the plan of the run."""
    return self._contents.plan

  @property
  def entries(self) -> tuple[str, ...]:
    """Hashes of all lines."""
    return tuple(self._contents.hashes)

  @property
  def rounds(self) -> set[int]:
    """Numbers of the rounds that have an entry."""
    return {recorded.number for recorded in self._contents.rounds}

  @property
  def last_round(self) -> int:
    """Number of the last round that has an entry; 0 without any entry."""
    return max(self.rounds, default=0)

  @property
  def head(self) -> str:
    """Hash of the last line."""
    return self._contents.head

  @property
  def has_old(self) -> bool:
    """Whether this ledger, or a prior one, has version 1 of the format."""
    is_old = self._contents.version == priors.OLD_VERSION
    return is_old or self._contents.priors.has_old

  def has(self, entry: str) -> bool:
    """Returns whether a line has a hash."""
    return entry in self._contents.hashes

  def append(self, number: int, release: RoundRelease) -> str:
    """Records a round; when this returns, the entry is on the disk.

    Args:
      number: The round.
      release: The next release of the round.

    Returns:
      The hash of the entry.

    Raises:
      UserError: If the release is not of the ledger's plan, or another program
        has extended the ledger.
    """
    errors.require(number >= 1, f'Round {number}: rounds count from 1.')
    errors.require(
      self._release_of is None or self._release_of(number) == release,
      f'The release of round {number} is not of the plan of the privacy ledger'
      f' {self.path}: take the release from that plan.',
    )
    record = {
      'round': number,
      'event': event_records.to_json(release.event),
      'nonce': secrets.token_hex(
        8
      ),  # Makes the hashes of two resumed copies differ.
    }
    if release.turn is not None:
      record['turn'] = list(release.turn)
    self._write(record)
    return self.head

  def read_priors(self) -> bool:
    """Records the releases of earlier runs since the last call.

    Returns:
      Whether there were new releases.

    Raises:
      UserError: As for `open`.
    """
    lines, copies = len(self._contents.hashes), []
    for path in self._prior_paths:
      file = file_of(path)
      stat = file.stat() if file.is_file() else None
      state = stat and (stat.st_size, stat.st_mtime_ns)
      if state is None or state != self._seen.get(path):
        copies.append((path, self._add_prior(path)))
        self._seen[path] = state
    for path, copy in copies:
      if copy.name != self.name:
        self._contents.priors.warn_of_less(copy, path)
    return len(self._contents.hashes) > lines

  def releases(
    self, further: Iterable[RoundRelease] = ()
  ) -> accountants.Releases:
    """Returns all releases to the client with the most, with prior runs.

    If clients take turns, this client is in the turn with the most rounds.

    Args:
      further: Future releases, to count as well.
    """
    return accountants.merged(
      [*self.prior_releases(), *self._contents.own_releases(further)]
    )

  @property
  def has_priors(self) -> bool:
    """Whether releases of earlier runs are counted."""
    return bool(self.prior_releases())

  def prior_releases(self) -> accountants.Releases:
    """Returns the releases of earlier runs alone."""
    return self._contents.priors.releases()

  def epsilons(self, delta: float) -> accountants.Epsilons:
    """Computes epsilon of all releases in the ledger."""
    return accountants.epsilons(self.releases(), self.relation, delta)

  def own_epsilons(self, delta: float) -> accountants.Epsilons:
    """Computes epsilon of the rounds of this run alone."""
    own = self._contents.own_releases()
    return accountants.epsilons(own, self.relation, delta)

  def known(self) -> priors.Priors:
    """Returns the known releases of all ledgers, including this one.

    Raises:
      UserError: If this ledger knows of a fork of itself.
    """
    found = priors.Priors()
    found.add_all(self._contents.priors)
    found.add(self.copy())
    return found

  def copy(self) -> priors.Copy:
    """Returns the releases of this run, in the form for other ledgers."""
    return self._contents.copy()

  def check_fits(self, number: int, entry: str) -> None:
    """Checks that a checkpoint belongs to this ledger.

    Args:
      number: Round of the checkpoint.
      entry: Hash of the round's entry in the ledger; empty for round 0.

    Raises:
      UserError: If the checkpoint has a round that the ledger does not count.
    """
    if number and not self.has(entry):
      raise errors.UserError(
        f'The privacy ledger {self.path} lacks the entry of round {number}, of'
        ' which there is a checkpoint: the ledger was cut short or belongs to'
        ' another run. Restore the ledger, or give another `output_dir`.'
      )
    if self.last_round > number:
      logging.warning(
        '%s counts rounds up to %d, but the last checkpoint is of round %d:'
        ' the rounds between are repeated, and counted again.',
        self.path,
        self.last_round,
        number,
      )

  def _add_prior(self, path: pathlib.Path) -> priors.Copy:
    """Records the releases of an earlier run since the last call."""
    ledger = Ledger.read(path, self.relation)
    known = ledger.known()
    self._check_is_latest(known)
    for record in self._contents.priors.news(known, own=self.name):
      self._write(record)
    return ledger.copy()

  def _check_is_latest(self, known: priors.Priors) -> None:
    """Checks that no other ledger knows rounds that this ledger lacks."""
    own, other = self.copy(), known.copy_of(self.name)
    for head in known.heads_of(self.name):
      priors.require_one_run(own.has(head))
    if other is None:
      return
    priors.require_one_run(own.begins(other) or other.begins(own))
    more = len(other.rounds) - len(own.rounds)
    errors.require(
      more <= 0,
      f'The privacy ledger {self.path} was cut short, or is an older copy: a'
      f' ledger of `prior_ledger` knows {more} further rounds of it. Restore'
      ' the ledger, or give another `output_dir`.',
    )

  def _write(self, record: dict[str, Any]) -> None:
    line = ledger_lines.line(record, self.head)
    added = '\n' * self._contents.lacks_end + line
    before = self._contents.size
    addition = self._contents.parsed(line.rstrip('\n'))
    with _alone(self.path, before):
      durable.append(self.path, before, added)
    self._contents.add(addition, before + len(added.encode()))


@contextlib.contextmanager
def _alone(path: pathlib.Path, size: int) -> Iterator[None]:
  """Locks a ledger, and checks that it has no line after its first bytes.

  Args:
    path: File of the ledger.
    size: Number of bytes that this process has read or written.

  Raises:
    UserError: If the ledger has other lines than this process knows.
  """
  with open(path, 'rb') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.seek(size)
    errors.require(
      os.fstat(file.fileno()).st_size >= size and b'\n' not in file.read(),
      f'The privacy ledger {path} has changed since it was opened: a ledger'
      ' takes the rounds of one program only. End the other program, then open'
      ' the ledger again.',
    )
    yield


def has_begun(path: pathlib.Path) -> bool:
  """Returns whether a ledger has a plan; no run releases anything before."""
  return path.exists() and b'\n' in path.read_bytes()


def file_of(path: pathlib.Path) -> pathlib.Path:
  """Returns the file of a ledger, given this file or the folder of its run."""
  return path / FILE_NAME if path.is_dir() else path
