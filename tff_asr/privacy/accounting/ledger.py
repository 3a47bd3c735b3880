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
  ledger_contents,
  ledger_lines,
  priors,
  releases,
)

FILE_NAME = 'ledger.jsonl'

RoundRelease = releases.RoundRelease


class Ledger:
  """The ledger of one run."""

  def __init__(
    self, path: pathlib.Path, prior_paths: Sequence[pathlib.Path] = ()
  ):
    """Reads a ledger.

    Args:
      path: Its file.
      prior_paths: Ledgers (or run folders) of earlier runs on the same clients,
        for `read_priors`.

    Raises:
      UserError: If there is none, or it is damaged.
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
      ' `sampling`.',
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
        'ledger': ledger_contents.VERSION,
        'name': str(uuid.uuid4()),
        'relation': relation.name,
        'plan': plan,
      }
      durable.append(path, 0, ledger_lines.line(header, ''))
    ledger = cls(path, priors)
    if (ledger.plan, ledger.relation) != (plan, relation):
      changed = [
        f'{key} was {ledger.plan.get(key)}, is {plan.get(key)}'
        for key in sorted(ledger.plan.keys() | plan.keys())
        if ledger.plan.get(key) != plan.get(key)
      ]
      raise errors.UserError(
        f'The privacy ledger {path} is of another plan ({"; ".join(changed)}):'
        ' give another `output_dir`, or the same settings to go on.'
      )
    ledger.read_priors()
    return ledger

  @property
  def name(self) -> str:
    """Name of the ledger, unlike that of any other."""
    return self._contents.name

  @property
  def relation(self) -> accountants.Relation:
    """Which populations are neighbours."""
    return self._contents.relation

  @property
  def plan(self) -> dict[str, Any]:
    """The facts of the plan with which it was opened."""
    return self._contents.plan

  @property
  def entries(self) -> tuple[str, ...]:
    """Hashes of all lines."""
    return self._contents.hashes

  @property
  def rounds(self) -> set[int]:
    """Rounds of which there is an entry."""
    return {recorded.number for recorded in self._contents.rounds}

  @property
  def last_round(self) -> int:
    """Last round of which there is an entry, 0 if there is none."""
    return max(self.rounds, default=0)

  @property
  def head(self) -> str:
    """Hash of the last line."""
    return self._contents.head

  @property
  def has_old(self) -> bool:
    """Whether version 1 of the format is among all that is counted."""
    is_old = self._contents.version == priors.OLD_VERSION
    return is_old or self._contents.priors.has_old

  def has(self, entry: str) -> bool:
    """Whether there is a line with a hash."""
    return entry in self.entries

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
    lines, copies = len(self.entries), []
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
    return len(self.entries) > lines

  def releases(
    self, further: Iterable[RoundRelease] = ()
  ) -> accountants.Releases:
    """All that the most concerned client has been released in, with priors.

    Where clients take turns, that is a client of the turn with most rounds.

    Args:
      further: Releases that are still to come.
    """
    return accountants.merged(
      [*self.prior_releases(), *self._contents.own_releases(further)]
    )

  @property
  def has_priors(self) -> bool:
    """Whether releases of earlier runs are counted."""
    return bool(self.prior_releases())

  def prior_releases(self) -> accountants.Releases:
    """Those of earlier runs alone."""
    return self._contents.priors.releases()

  def epsilons(self, delta: float) -> accountants.Epsilons:
    """Epsilon of all that is in the ledger."""
    return accountants.epsilons(self.releases(), self.relation, delta)

  def own_epsilons(self, delta: float) -> accountants.Epsilons:
    """Epsilon of the rounds of this run alone."""
    own = self._contents.own_releases()
    return accountants.epsilons(own, self.relation, delta)

  def known(self) -> priors.Priors:
    """Returns what it knows of all ledgers, itself among them.

    Raises:
      UserError: If it knows of a fork of itself.
    """
    found = priors.Priors()
    found.add_all(self._contents.priors)
    found.add(self.copy())
    return found

  def copy(self) -> priors.Copy:
    """Returns what it has released itself, as other ledgers know it."""
    return self._contents.copy()

  def check_fits(self, number: int, entry: str) -> None:
    """Checks that a checkpoint is of this ledger.

    Args:
      number: Round of the checkpoint.
      entry: Hash of its round's entry in the ledger, empty for round 0.

    Raises:
      UserError: If the checkpoint has a round that the ledger does not count.
    """
    if number and not self.has(entry):
      raise errors.UserError(
        f'The privacy ledger {self.path} lacks the entry of round {number}, of'
        ' which there is a checkpoint: it was cut short or is of another run.'
        ' Restore it, or give another `output_dir`.'
      )
    if self.last_round > number:
      logging.warning(
        '%s counts rounds up to %d, but the last checkpoint is of round %d:'
        ' those between are done again, and counted again.',
        self.path,
        self.last_round,
        number,
      )

  def _add_prior(self, path: pathlib.Path) -> priors.Copy:
    """Takes over what an earlier run has released since it was last read."""
    ledger = Ledger.read(path, self.relation)
    known = ledger.known()
    self._check_is_latest(known)
    for record in self._contents.priors.news(known, own=self.name):
      self._write(record)
    return ledger.copy()

  def _check_is_latest(self, known: priors.Priors) -> None:
    """Checks that nobody knows rounds of this ledger that it lacks."""
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
      ' it, or give another `output_dir`.',
    )

  def _write(self, record: dict[str, Any]) -> None:
    line = ledger_lines.line(record, self.head)
    added = '\n' * self._contents.lacks_end + line
    before = self._contents.size
    durable.append(self.path, before, added)
    self._contents = self._contents.with_line(
      line.rstrip('\n'), before + len(added.encode())
    )


def has_begun(path: pathlib.Path) -> bool:
  """Whether there is a ledger with a plan: nothing was released before."""
  return path.exists() and b'\n' in path.read_bytes()


def file_of(path: pathlib.Path) -> pathlib.Path:
  """Returns the ledger of a run, given the ledger or the run's folder."""
  return path / FILE_NAME if path.is_dir() else path
