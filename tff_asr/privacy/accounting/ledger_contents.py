"""Parses the lines of a privacy ledger into its contents."""

from collections.abc import Iterable
import dataclasses
import pathlib
from typing import Any

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
class Contents:
  """Holds the contents of a ledger.

  Attributes:
    version: Version of the format.
    name: Name of the ledger.
    relation: The neighbouring relation between populations.
    plan: Facts of the plan.
    hashes: Hashes of all lines.
    rounds: Entries of the rounds, in order.
    priors: Known releases of other ledgers.
    heads: Short hashes of lines that version 1 may have recorded in another
      ledger.
    size: Number of bytes of all lines.
    lacks_end: Whether the last line lacks its line feed.
  """

  version: int
  name: str
  relation: accountants.Relation
  plan: dict[str, Any]
  hashes: tuple[str, ...]
  rounds: tuple[RecordedRound, ...]
  priors: priors.Priors
  heads: frozenset[str]
  size: int
  lacks_end: bool = False

  @property
  def head(self) -> str:
    """Hash of the last line."""
    return self.hashes[-1]

  def with_line(
    self, line: str, size: int, lacks_end: bool = False
  ) -> 'Contents':
    """Returns the contents with a further line.

    Args:
      line: The line, without its line feed.
      size: Number of bytes of all lines, with this one.
      lacks_end: As in `Contents`.

    Raises:
      ValueError, KeyError, TypeError, AttributeError: If the line is damaged.
    """
    lines = _Lines(self)
    lines.take(line)
    return lines.contents(size, lacks_end)

  def own_releases(
    self, further: Iterable[releases.RoundRelease] = ()
  ) -> accountants.Releases:
    """Returns the releases of this run to the client with the most.

    Args:
      further: Future releases, to count as well.
    """
    own = [recorded.release for recorded in self.rounds]
    return accountants.merged(releases.most_concerned([*own, *further]))

  def copy(self) -> priors.Copy:
    """Returns the releases of this ledger, in the form for other ledgers."""
    return priors.Copy(
      self.name,
      self.version,
      tuple(priors.short(recorded.entry) for recorded in self.rounds),
      self.own_releases(),
      self.heads,
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
  lines = _Lines()
  for number, line in enumerate(text.split('\n'), 1):
    try:
      lines.take(line)
    except _DAMAGE as error:
      raise errors.UserError(
        f'Line {number} of the privacy ledger {path} is damaged: epsilon cannot'
        ' be computed without this line. Restore the ledger from a copy.'
      ) from error
  contents = lines.contents(len((text + '\n').encode()))
  if not rest:
    return contents
  try:
    size = contents.size + len(rest.encode())
    return contents.with_line(rest, size, lacks_end=True)
  except _DAMAGE:
    return contents


class _Lines:
  """Collects the lines of a ledger."""

  def __init__(self, contents: Contents | None = None):
    """Starts without lines, or with the lines of `contents`."""
    self._header: dict[str, Any] = {}
    self._hashes: list[str] = []
    self._rounds: list[RecordedRound] = []
    self._priors = priors.Priors()
    self._heads: set[str] = set()
    if contents:
      self._header = {
        'version': contents.version,
        'name': contents.name,
        'relation': contents.relation,
        'plan': contents.plan,
      }
      self._hashes += contents.hashes
      self._rounds += contents.rounds
      self._priors.add_all(contents.priors)
      self._heads |= contents.heads

  def take(self, line: str) -> None:
    """Adds one line; raises an error of `_DAMAGE` for a damaged line."""
    before = self._hashes[-1] if self._hashes else ''
    record, digest = ledger_lines.parsed(line, before)
    if not self._hashes:
      self._header = _header(record)
    elif 'prior' in record:
      self._priors.read(record)
    else:
      turn = tuple(record['turn']) if 'turn' in record else None
      release = releases.RoundRelease(
        event_records.from_json(record['event']), turn
      )
      self._rounds.append(RecordedRound(record['round'], release, digest))
    self._hashes.append(digest)
    is_old = self._header['version'] == priors.OLD_VERSION
    if is_old and record.keys() & {'ledger', 'head'}:
      self._heads.add(priors.short(digest))

  def contents(self, size: int, lacks_end: bool = False) -> Contents:
    """Returns the contents of the lines."""
    return Contents(
      **self._header,
      hashes=tuple(self._hashes),
      rounds=tuple(self._rounds),
      priors=self._priors,
      heads=frozenset(self._heads),
      size=size,
      lacks_end=lacks_end,
    )


def _header(record: dict[str, Any]) -> dict[str, Any]:
  """Returns the fields of `Contents` from the first line."""
  if record['ledger'] not in (priors.OLD_VERSION, VERSION):
    raise ValueError('The version is unknown.')
  return {
    'version': record['ledger'],
    'name': record['name'],
    'relation': accountants.Relation[record['relation']],
    'plan': record['plan'],
  }
