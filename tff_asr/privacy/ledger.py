"""The privacy ledger: what a run has released, for good.

A text file to which a line is added, and synced to the disk, before anything of
a round is released; so it counts at least every release that was made, wherever
a run was killed.  Epsilon is always computed from it.  The first line is the
plan; every other one is a round's event, or what another run had released to
the same clients.  Each line ends in a hash of itself and of the line before: a
line that was changed or is missing is noticed (it is no signature: who wants to
forge a ledger can).
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import hashlib
import json
import os
import pathlib
import secrets
from typing import Any
import uuid

from absl import logging
import dp_accounting

from tff_asr import durable, errors
from tff_asr.privacy import accounting, event_records

FILE_NAME = 'ledger.jsonl'

_VERSION = 1


@dataclasses.dataclass(frozen=True)
class RoundRelease:
  """What one round releases.

  Attributes:
    event: The mechanism, as a client sees it who may take part.
    turn: Which clients may, where they take turns: `(turn, period)`.  A client
      is in the same turn of all rounds.
  """

  event: dp_accounting.DpEvent
  turn: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class _Prior:
  """What another ledger held when it was last looked at.

  Attributes:
    name: Of the ledger.
    head: Hash of its last line then.
    releases: To the client who is in most of them.
    hashes: Of its lines, if it was read itself.
  """

  name: str
  head: str
  releases: accounting.Releases
  hashes: frozenset[str] = frozenset()

  @property
  def size(self) -> int:
    """Number of releases: of the same ledger, the later copy has more."""
    return sum(count for _, count in self.releases)

  def later(self, other: '_Prior') -> '_Prior':
    """Returns the later of two copies of a ledger.

    Raises:
      UserError: If both went on from one copy: what they released since then
        adds up, and neither has all of it.
    """
    first, last = sorted([self, other], key=lambda p: (p.size, len(p.hashes)))
    _require_one_run(not last.hashes or first.head in last.hashes)
    return last


def _require_one_run(is_one: bool) -> None:
  errors.require(
    is_one,
    'Two copies of one privacy ledger were both gone on with: what they'
    ' released adds up, and neither tells. No epsilon is true for the clients'
    ' of both runs: take other clients, or leave out a run that nobody has seen'
    ' anything of.',
  )


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
    self._priors: dict[str, _Prior] = {}
    # A line without its end was never synced: nothing followed from it.
    text, _, _ = path.read_text(errors='replace').rpartition('\n')
    self._size = len((text + '\n').encode()) if text else 0
    for number, line in enumerate(text.split('\n'), 1):
      try:
        self._take(json.loads(line), line)
      except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.UserError(
          f'Line {number} of the privacy ledger {path} is damaged: without it'
          ' no epsilon is true. Restore it from a copy.'
        ) from error

  @classmethod
  def open(
    cls,
    path: pathlib.Path,
    plan: Mapping[str, Any],
    relation: accounting.Relation,
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
        run's is, or that run has other neighbours.
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
      _append(path, 0, _line(header, ''))
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
    for prior in priors:
      ledger._add_prior(prior)
    return ledger

  @property
  def last_round(self) -> int:
    """Last round of which there is an entry, 0 if there is none."""
    return max((number for number, _, _ in self._rounds), default=0)

  @property
  def head(self) -> str:
    """Hash of the last line."""
    return self._hashes[-1]

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

  def releases(
    self, further: Iterable[RoundRelease] = ()
  ) -> accounting.Releases:
    """All that the most concerned client has been released in, with priors.

    Where clients take turns, that is a client of the turn with most rounds.

    Args:
      further: Releases that are still to come.
    """
    own = [release for _, release, _ in self._rounds] + list(further)
    priors = [entry for p in self._priors.values() for entry in p.releases]
    return accounting.merged([*priors, *most_concerned(own)])

  def epsilons(self, delta: float) -> accounting.Epsilons:
    """Epsilon of all that is in the ledger."""
    return accounting.epsilons(self.releases(), self.relation, delta)

  @property
  def has_priors(self) -> bool:
    """Whether releases of earlier runs are counted."""
    return bool(self._priors)

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

  def _add_prior(self, path: pathlib.Path) -> None:
    """Takes over what an earlier run has released since it was last read."""
    for one in _read_prior(path, self.relation):
      if one.name == self.name:
        _require_one_run(one.head in self._hashes)
        continue
      known = self._priors.get(one.name)
      if known is None or known.later(one).size > known.size:
        releases = [[event_records.to_json(e), n] for e, n in one.releases]
        self._write({'prior': one.name, 'head': one.head, 'releases': releases})

  def _write(self, record: dict[str, Any]) -> None:
    line = _line(record, self.head)
    _append(self.path, self._size, line)
    self._size += len(line.encode())
    self._take(json.loads(line), line.rstrip('\n'))

  def _take(self, record: dict[str, Any], line: str) -> None:
    """Takes over one line; raises errors of many kinds if it is damaged."""
    before = self._hashes[-1] if self._hashes else ''
    content = {k: v for k, v in record.items() if k != 'hash'}
    if line + '\n' != _line(content, before):
      raise ValueError('The hash is wrong.')
    self._hashes.append(record['hash'])
    if len(self._hashes) == 1:
      if record['ledger'] != _VERSION:
        raise ValueError('The version is unknown.')
      self.name: str = record['name']
      self.relation = accounting.Relation[record['relation']]
      self.plan: dict[str, Any] = record['plan']
    elif 'prior' in record:
      prior = _Prior(
        record['prior'],
        record['head'],
        tuple((event_records.from_json(e), n) for e, n in record['releases']),
      )
      known = self._priors.get(prior.name, prior)
      self._priors[prior.name] = max(known, prior, key=lambda p: p.size)
    else:
      turn = tuple(record['turn']) if 'turn' in record else None
      release = RoundRelease(event_records.from_json(record['event']), turn)
      self._rounds.append((record['round'], release, record['hash']))


def has_begun(path: pathlib.Path) -> bool:
  """Whether there is a ledger with a plan: nothing was released before."""
  return path.exists() and b'\n' in path.read_bytes()


def released(
  paths: Sequence[pathlib.Path], relation: accounting.Relation
) -> accounting.Releases:
  """All that earlier runs, and those before them, have released.

  Args:
    paths: Their ledgers, or run folders.
    relation: Which populations are neighbours, in all of them.

  Raises:
    UserError: If a ledger cannot be read, or has other neighbours.
  """
  runs: dict[str, _Prior] = {}
  for path in paths:
    for one in _read_prior(path, relation):
      known = runs.get(one.name, one)
      runs[one.name] = known.later(one)
  return accounting.merged(
    entry for one in runs.values() for entry in one.releases
  )


def names(paths: Sequence[pathlib.Path]) -> set[str]:
  """Names of the ledgers of runs, and of those of the runs before them."""
  ledgers = [Ledger(_file(path)) for path in paths]
  return {name for one in ledgers for name in (one.name, *one._priors)}


def relation_of(path: pathlib.Path) -> accounting.Relation:
  """Which populations are neighbours in the ledger of a run (or its folder)."""
  return Ledger(_file(path)).relation


def _file(path: pathlib.Path) -> pathlib.Path:
  return path / FILE_NAME if path.is_dir() else path


def _read_prior(
  path: pathlib.Path, relation: accounting.Relation
) -> list[_Prior]:
  """Returns what a run and the runs before it have released."""
  path = _file(path)
  ledger = Ledger(path)
  if ledger.relation is not relation:
    raise errors.UserError(
      f'The neighbours of {path} are by {ledger.relation.name}, of this run by'
      f' {relation.name}: their epsilons do not add up. Use the same'
      ' --sampling.'
    )
  own = most_concerned(release for _, release, _ in ledger._rounds)
  return [
    *ledger._priors.values(),
    _Prior(
      ledger.name,
      ledger.head,
      accounting.merged(own),
      frozenset(ledger._hashes),
    ),
  ]


def most_concerned(
  releases: Iterable[RoundRelease],
) -> list[tuple[dp_accounting.DpEvent, int]]:
  """The releases of the client who is in most of them."""
  everybody: list[tuple[dp_accounting.DpEvent, int]] = []
  turns: dict[tuple[int, int], list[tuple[dp_accounting.DpEvent, int]]] = {}
  for release in releases:
    of = (
      everybody if release.turn is None else turns.setdefault(release.turn, [])
    )
    of.append((release.event, 1))
  return everybody + max(turns.values(), key=len, default=[])


def _line(record: Mapping[str, Any], before: str) -> str:
  content = json.dumps(record, sort_keys=True)
  digest = hashlib.sha256((before + content).encode()).hexdigest()
  return json.dumps({**json.loads(content), 'hash': digest}) + '\n'


def _append(path: pathlib.Path, size: int, line: str) -> None:
  """Writes and syncs a line after the first `size` bytes of a file."""
  with open(path, 'r+b', buffering=0) as file:
    file.truncate(size)
    file.seek(size)
    data = line.encode()
    while data:
      data = data[file.write(data) :]
    os.fsync(file.fileno())
