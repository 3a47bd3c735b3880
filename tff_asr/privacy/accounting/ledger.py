"""The privacy ledger: what a run has released, for good.

A text file to which a line is added, and synced to the disk, before anything of
a round is released; so it counts at least every release that was made, wherever
a run was killed.  Epsilon is always computed from it.  The first line is the
plan; every other one is a round's event, or what another run had released to
the same clients (`priors.py`).  Each line ends in a hash of itself and of the
line before: a line that was changed, or is missing between others, is noticed.
It is no signature: who wants to forge a ledger can.  Lines that are missing at
the end show only where something else knows of them.
"""

from collections.abc import Iterable, Mapping, Sequence
import json
import pathlib
import secrets
from typing import Any
import uuid

from absl import logging

from tff_asr import durable, errors
from tff_asr.privacy.accounting import (
  accountants,
  event_records,
  ledger_lines,
)
from tff_asr.privacy.accounting import priors as priors_lib
from tff_asr.privacy.accounting import releases as releases_lib

FILE_NAME = 'ledger.jsonl'

_VERSION = 2

RoundRelease = releases_lib.RoundRelease


class Ledger:
  """The ledger of one run."""

  def __init__(self, path: pathlib.Path):
    """Reads a ledger.

    Args:
      path: Its file.

    Raises:
      UserError: If there is none, or it is damaged.
    """
    if not path.is_file():
      raise errors.UserError(
        f'There is no privacy ledger at {path}: the run had no privacy plan, or'
        ' the ledger was removed. Restore it, or give another folder.'
      )
    self.path = path
    self._hashes: list[str] = []
    self._rounds: list[tuple[int, RoundRelease, str]] = []
    self._priors = priors_lib.Priors()
    self._heads: set[str] = set()
    self._prior_paths: tuple[pathlib.Path, ...] = ()
    self._seen: dict[pathlib.Path, tuple[int, int] | None] = {}
    text, _, rest = path.read_text(errors='replace').rpartition('\n')
    self._size = len((text + '\n').encode()) if text else 0
    self._missing_end = ''
    for number, line in enumerate(text.split('\n'), 1):
      try:
        self._take(line)
      except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.UserError(
          f'Line {number} of the privacy ledger {path} is damaged: without it'
          ' no epsilon is true. Restore it from a copy.'
        ) from error
    if rest:
      self._take_rest(rest)

  @classmethod
  def read(cls, path: pathlib.Path, relation: accountants.Relation) -> 'Ledger':
    """Reads a ledger whose releases are to be added to others.

    Args:
      path: Its file, or the folder of its run.
      relation: Which populations are neighbours in the others.

    Raises:
      UserError: If there is none, or it is damaged, or has other neighbours.
    """
    ledger = cls(file_of(path))
    errors.require(
      ledger.relation is relation,
      f'The neighbours of {ledger.path} are by {ledger.relation.name}, of this'
      f' run by {relation.name}: their epsilons do not add up. Use the same'
      ' --sampling.',
    )
    return ledger

  @classmethod
  def open(
    cls,
    path: pathlib.Path,
    plan: Mapping[str, Any],
    relation: accountants.Relation,
    priors: Sequence[pathlib.Path] = (),
  ) -> 'Ledger':
    """Opens the ledger of a run to add to it, or begins one.

    Args:
      path: Its file.
      plan: What the guarantee rests on; the same for all of a run.
      relation: Which populations are neighbours.
      priors: Ledgers (or run folders) of earlier runs on the same clients.

    Raises:
      UserError: If the ledger is damaged or of another plan, or an earlier
        run's is, or that run has other neighbours, or two copies of a ledger
        were both gone on with.
    """
    plan = json.loads(json.dumps(plan))  # As it is read back.
    if not has_begun(path):
      path.write_text('')
      durable.sync(path.parent)
      header = {
        'ledger': _VERSION,
        'name': str(uuid.uuid4()),
        'relation': relation.name,
        'plan': plan,
      }
      durable.append(path, 0, ledger_lines.line(header, ''))
    ledger = cls(path)
    if (ledger.plan, ledger.relation) != (plan, relation):
      changed = [
        f'{key} was {ledger.plan.get(key)}, is {plan.get(key)}'
        for key in sorted(ledger.plan.keys() | plan.keys())
        if ledger.plan.get(key) != plan.get(key)
      ]
      raise errors.UserError(
        f'The privacy ledger {path} is of another plan ({"; ".join(changed)}):'
        ' give another --output_dir, or the same settings to go on.'
      )
    ledger._prior_paths = tuple(priors)
    ledger.read_priors()
    return ledger

  @property
  def rounds(self) -> set[int]:
    """Rounds of which there is an entry."""
    return {number for number, _, _ in self._rounds}

  @property
  def last_round(self) -> int:
    """Last round of which there is an entry, 0 if there is none."""
    return max(self.rounds, default=0)

  @property
  def head(self) -> str:
    """Hash of the last line."""
    return self._hashes[-1]

  @property
  def has_old(self) -> bool:
    """Whether version 1 of the format is among all that is counted."""
    return self._version == priors_lib.OLD_VERSION or self._priors.has_old

  def has(self, entry: str) -> bool:
    """Whether there is a line with a hash."""
    return entry in self._hashes

  def append(self, number: int, release: RoundRelease) -> str:
    """Records a round; on the disk when this returns.

    Args:
      number: The round.
      release: What it is about to release.

    Returns:
      The hash of the entry.
    """
    record = {
      'round': number,
      'event': event_records.to_json(release.event),
      'nonce': secrets.token_hex(8),  # Two copies do not go on alike.
    }
    if release.turn is not None:
      record['turn'] = list(release.turn)
    self._write(record)
    return self.head

  def read_priors(self) -> bool:
    """Counts what earlier runs have released since they were last read.

    Returns:
      Whether there was anything new.

    Raises:
      UserError: As `open`.
    """
    lines, copies = len(self._hashes), []
    for path in self._prior_paths:
      file = file_of(path)
      stat = file.stat() if file.is_file() else None
      state = stat and (stat.st_size, stat.st_mtime_ns)
      if state is None or state != self._seen.get(path):
        copies.append((path, self._add_prior(path)))
        self._seen[path] = state
    for path, copy in copies:
      if copy.name != self.name:
        self._priors.warn_of_less(copy, path)
    return len(self._hashes) > lines

  def releases(
    self, further: Iterable[RoundRelease] = ()
  ) -> accountants.Releases:
    """All that the most concerned client has been released in, with priors.

    Where clients take turns, that is a client of the turn with most rounds.

    Args:
      further: Releases that are still to come.
    """
    return accountants.merged(
      [*self._priors.releases(), *self._own_releases(further)]
    )

  @property
  def has_priors(self) -> bool:
    """Whether releases of earlier runs are counted."""
    return bool(self._priors.releases())

  def prior_releases(self) -> accountants.Releases:
    """Those of earlier runs alone."""
    return self._priors.releases()

  def epsilons(self, delta: float) -> accountants.Epsilons:
    """Epsilon of all that is in the ledger."""
    return accountants.epsilons(self.releases(), self.relation, delta)

  def own_epsilons(self, delta: float) -> accountants.Epsilons:
    """Epsilon of the rounds of this run alone."""
    return accountants.epsilons(self._own_releases(), self.relation, delta)

  def known(self) -> priors_lib.Priors:
    """Returns what it knows of all ledgers, itself among them.

    Raises:
      UserError: If it knows of a fork of itself.
    """
    found = priors_lib.Priors()
    found.add_all(self._priors)
    found.add(self.copy())
    return found

  def copy(self) -> priors_lib.Copy:
    """Returns what it has released itself, as other ledgers know it."""
    return priors_lib.Copy(
      self.name,
      self._version,
      tuple(priors_lib.short(entry) for _, _, entry in self._rounds),
      self._own_releases(),
      frozenset(self._heads),
    )

  def check_fits(self, number: int, entry: str) -> None:
    """Checks that a checkpoint is of this ledger.

    Args:
      number: Round of the checkpoint.
      entry: Hash of its round's entry in the ledger, empty for round 0.

    Raises:
      UserError: If the checkpoint has a round that the ledger does not count.
    """
    if number and entry not in self._hashes:
      raise errors.UserError(
        f'The privacy ledger {self.path} lacks the entry of round {number}, of'
        ' which there is a checkpoint: it was cut short or is of another run.'
        ' Restore it, or give another --output_dir.'
      )
    if self.last_round > number:
      logging.warning(
        '%s counts rounds up to %d, but the last checkpoint is of round %d:'
        ' those between are done again, and counted again.',
        self.path,
        self.last_round,
        number,
      )

  def _own_releases(
    self, further: Iterable[RoundRelease] = ()
  ) -> accountants.Releases:
    own = [release for _, release, _ in self._rounds]
    return accountants.merged(releases_lib.most_concerned([*own, *further]))

  def _add_prior(self, path: pathlib.Path) -> priors_lib.Copy:
    """Takes over what an earlier run has released since it was last read."""
    ledger = Ledger.read(path, self.relation)
    known = ledger.known()
    self._check_is_latest(known)
    for record in self._priors.news(known, own=self.name):
      self._write(record)
    return ledger.copy()

  def _check_is_latest(self, known: priors_lib.Priors) -> None:
    """Checks that nobody knows rounds of this ledger that it lacks."""
    own, other = self.copy(), known.copy_of(self.name)
    for head in known.heads_of(self.name):
      priors_lib.require_one_run(own.has(head))
    if other is None:
      return
    priors_lib.require_one_run(own.begins(other) or other.begins(own))
    more = len(other.rounds) - len(own.rounds)
    errors.require(
      more <= 0,
      f'The privacy ledger {self.path} was cut short, or is an older copy: a'
      f' ledger of --prior_ledger knows {more} further rounds of it. Restore'
      ' it, or give another --output_dir.',
    )

  def _write(self, record: dict[str, Any]) -> None:
    line = ledger_lines.line(record, self.head)
    added = self._missing_end + line
    durable.append(self.path, self._size, added)
    self._size += len(added.encode())
    self._missing_end = ''
    self._take(line.rstrip('\n'))

  def _take_rest(self, rest: str) -> None:
    """Takes over a last line that lacks its end, if all else of it is there.

    A line that was cut was never synced: nothing followed from it.
    """
    try:
      self._take(rest)
    except (ValueError, KeyError, TypeError, AttributeError):
      return
    self._size += len(rest.encode())
    self._missing_end = '\n'

  def _take(self, line: str) -> None:
    """Takes over one line; raises errors of many kinds if it is damaged."""
    before = self._hashes[-1] if self._hashes else ''
    record, digest = ledger_lines.parsed(line, before)
    if not self._hashes:
      if record['ledger'] not in (priors_lib.OLD_VERSION, _VERSION):
        raise ValueError('The version is unknown.')
      self._version: int = record['ledger']
      self.name: str = record['name']
      self.relation = accountants.Relation[record['relation']]
      self.plan: dict[str, Any] = record['plan']
    elif 'prior' in record:
      self._priors.read(record)
    else:
      turn = tuple(record['turn']) if 'turn' in record else None
      release = RoundRelease(event_records.from_json(record['event']), turn)
      self._rounds.append((record['round'], release, digest))
    self._hashes.append(digest)
    is_old = self._version == priors_lib.OLD_VERSION
    if is_old and record.keys() & {'ledger', 'head'}:
      self._heads.add(priors_lib.short(digest))


def has_begun(path: pathlib.Path) -> bool:
  """Whether there is a ledger with a plan: nothing was released before."""
  return path.exists() and b'\n' in path.read_bytes()


def file_of(path: pathlib.Path) -> pathlib.Path:
  """Returns the ledger of a run, given the ledger or the run's folder."""
  return path / FILE_NAME if path.is_dir() else path
