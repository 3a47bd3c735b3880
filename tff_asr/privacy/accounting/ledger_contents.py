"""Parses the lines of a privacy ledger into its contents."""

from collections.abc import Iterable
import contextlib
import dataclasses
import pathlib
from typing import Any, NamedTuple

from tff_asr import errors
from tff_asr.privacy.accounting import (
  accountants,
  event_records,
  ledger_lines,
  priors,
  releases,
)

VERSION = 2

# Errors that parsing a damaged line may raise.
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError)


class _Header(NamedTuple):
  version: int
  name: str
  relation: accountants.Relation
  plan: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class RecordedRound:
  """Holds the entry of a round.

  Attributes:
    number: The round.
    release: The release of the round.
    entry: Hash of the line.
  """

  number: int
  release: releases.RoundRelease
  entry: str


@dataclasses.dataclass(frozen=True)
class Addition:
  """Holds what a line adds to a ledger.

  Attributes:
    entry: Hash of the line.
    header: Version, name, relation and plan, from the first line.
    recorded: Entry of a round, or `None`.
    known: Known releases of other ledgers if the line adds some, or `None`.
    is_head: Whether version 1 may have recorded the line in another ledger.
  """

  entry: str
  header: _Header | None = None
  recorded: RecordedRound | None = None
  known: priors.Priors | None = None
  is_head: bool = False


class Contents:
  """Holds the contents of a ledger; to add a line takes constant time.

  Attributes:
    hashes: Hashes of all lines.
    rounds: Entries of the rounds, in order.
    priors: Known releases of other ledgers.
    heads: Short hashes of lines that version 1 may have recorded in another
      ledger.
    size: Number of bytes of all lines.
    lacks_end: Whether the last line lacks its line feed.
  """

  def __init__(self):
    """Initializes the contents without lines."""
    self._header: _Header | None = None
    self._counts = releases.Counts()
    self.hashes: list[str] = []
    self.rounds: list[RecordedRound] = []
    self.priors = priors.Priors()
    self.heads: set[str] = set()
    self.size = 0
    self.lacks_end = False

  @property
  def version(self) -> int:
    """Version of the format."""
    return self._header.version

  @property
  def name(self) -> str:
    """Name of the ledger."""
    return self._header.name

  @property
  def relation(self) -> accountants.Relation:
    """The neighbouring relation between populations."""
    return self._header.relation

  @property
  def plan(self) -> dict[str, Any]:
    """Facts of the plan."""
    return self._header.plan

  @property
  def head(self) -> str:
    """Hash of the last line."""
    return self.hashes[-1]

  def parsed(self, line: str) -> Addition:
    """Parses a further line, but does not add it.

    Args:
      line: The line, without its line feed.

    Raises:
      ValueError, KeyError, TypeError, AttributeError: If the line is damaged.
    """
    record, entry = ledger_lines.parsed(line, self.head if self.hashes else '')
    header = self._header or _header(record)
    is_old = header.version == priors.OLD_VERSION
    is_head = is_old and bool(record.keys() & {'ledger', 'head'})
    if not self.hashes:
      return Addition(entry, header=header, is_head=is_head)
    if 'prior' in record:
      known = priors.Priors()
      known.add_all(self.priors)
      known.read(record)
      return Addition(entry, known=known, is_head=is_head)
    turn = tuple(record['turn']) if 'turn' in record else None
    event = event_records.from_json(record['event'])
    recorded = RecordedRound(
      record['round'], releases.RoundRelease(event, turn), entry
    )
    return Addition(entry, recorded=recorded, is_head=is_head)

  def add(self, addition: Addition, size: int, lacks_end: bool = False) -> None:
    """Adds a parsed line.

    Args:
      addition: The result of `parsed`.
      size: Number of bytes of all lines, with this one.
      lacks_end: As in `Contents`.
    """
    self._header = addition.header or self._header
    if addition.recorded:
      self.rounds.append(addition.recorded)
      self._counts.add(addition.recorded.release)
    self.priors = addition.known or self.priors
    self.hashes.append(addition.entry)
    if addition.is_head:
      self.heads.add(priors.short(addition.entry))
    self.size, self.lacks_end = size, lacks_end

  def own_releases(
    self, further: Iterable[releases.RoundRelease] = ()
  ) -> accountants.Releases:
    """Returns the releases of this run to the client with the most.

    Args:
      further: Future releases, to count as well.
    """
    return self._counts.most_concerned(further)

  def copy(self) -> priors.Copy:
    """Returns the releases of this ledger, in the form for other ledgers."""
    return priors.Copy(
      self.name,
      self.version,
      tuple(priors.short(recorded.entry) for recorded in self.rounds),
      self.own_releases(),
      frozenset(self.heads),
    )


def read(path: pathlib.Path) -> Contents:
  """Reads a ledger.

  A last line that lacks only its line feed counts.  An incomplete last line
  does not count: it was never synced to the disk, so the run released nothing
  after it.

  Args:
    path: File of the ledger.

  Raises:
    UserError: If the ledger is damaged.
  """
  text, _, rest = path.read_text(errors='replace').rpartition('\n')
  contents = Contents()
  for number, line in enumerate(text.split('\n'), 1):
    size = contents.size + len(line.encode()) + 1
    try:
      contents.add(contents.parsed(line), size)
    except _DAMAGE as error:
      raise errors.UserError(
        f'Line {number} of the privacy ledger {path} is damaged: epsilon cannot'
        ' be computed without this line. Restore the ledger from a copy.'
      ) from error
  if rest:
    with contextlib.suppress(*_DAMAGE):
      size = contents.size + len(rest.encode())
      contents.add(contents.parsed(rest), size, lacks_end=True)
  return contents


def _header(record: dict[str, Any]) -> _Header:
  """Returns the fields of the first line."""
  if record['ledger'] not in (priors.OLD_VERSION, VERSION):
    raise ValueError('The version is unknown.')
  return _Header(
    record['ledger'],
    record['name'],
    accountants.Relation[record['relation']],
    record['plan'],
  )
