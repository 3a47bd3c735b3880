"""Collects the known releases of other ledgers, each round once.

A ledger is identified by its name and by the hashes of its rounds' lines.  The
hashes are chained, and every line has a random number, so that equal hashes
mean the same releases.  A copy of a ledger has all releases of another copy if
its list of hashes begins with the list of the other copy.  If neither list
begins with the other one, both copies were resumed: this is a fork, and it is
refused.

Sixteen hexadecimal digits of a hash are kept.  A fork is missed only if *all*
hashes of the shorter list after the fork agree with the hashes at the same
places of the longer list.  For one round after the fork, the probability is
2^-64 for each pair of copies.
"""

from collections.abc import Iterable, Mapping
import dataclasses
from typing import Any

from absl import logging

from tff_asr import errors
from tff_asr.privacy.accounting import accountants, event_records

_DIGITS = 16

# Version 1 has no lists of rounds.  Some guarantees from its time were false:
# see `runs/accounts.py`.
OLD_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Copy:
  """Holds the releases of one copy of a ledger.

  Attributes:
    name: Name of the ledger.
    version: Version of its format.
    rounds: Short hashes of its rounds' lines, in order.
    releases: Releases to the client that is in most of the rounds.
    heads: Short hashes of other lines that version 1 may have used to identify
      the ledger.
  """

  name: str
  version: int
  rounds: tuple[str, ...]
  releases: accountants.Releases
  heads: frozenset[str] = frozenset()

  def begins(self, other: 'Copy') -> bool:
    """Returns whether another copy has all releases of this copy."""
    return other.rounds[: len(self.rounds)] == self.rounds

  def has(self, head: str) -> bool:
    """Returns whether the copy has a line, by the short hash of the line."""
    return head in self.heads or head in self.rounds


def short(line_hash: str) -> str:
  """Returns the short hash of a line: the digits that are kept."""
  return line_hash[:_DIGITS]


def require_one_run(is_one: bool) -> None:
  """Raises a `UserError` unless two copies of a ledger belong to one run."""
  errors.require(
    is_one,
    'Two copies of one privacy ledger were both resumed: their releases add up,'
    ' and neither copy records the releases of the other. No epsilon is true'
    ' for the clients of both runs: use other clients, or leave out a run if'
    ' nobody has seen anything of it.',
  )


class Priors:
  """Collects the known releases of several ledgers.

  Version 1 recorded no list of another ledger's rounds.  It recorded only the
  last line of that ledger (`head`) and the releases up to this line.  If a
  known list has the line, the list includes these releases.  If no list has the
  line, these releases are added to the releases of the list and to the releases
  up to other heads.  Some may then be counted twice, but nothing can show this,
  and the result is a true upper bound.
  """

  def __init__(self):
    self._copies: dict[str, Copy] = {}
    self._unlisted: dict[tuple[str, str], accountants.Releases] = {}

  @property
  def names(self) -> set[str]:
    """Names of all known ledgers."""
    return {*self._copies, *(name for name, _ in self._unlisted)}

  @property
  def has_old(self) -> bool:
    """Whether any known ledger has version 1 of the format."""
    versions = {copy.version for copy in self._copies.values()}
    return bool(self._unlisted) or OLD_VERSION in versions

  def copy_of(self, name: str) -> Copy | None:
    """Returns the latest known copy of a ledger."""
    return self._copies.get(name)

  def heads_of(self, name: str) -> list[str]:
    """Returns the short hashes that version 1 used to identify a ledger."""
    return [short(head) for of, head in self._unlisted if of == name]

  def releases(self) -> accountants.Releases:
    """Returns the releases of each ledger to its client with the most."""
    listed = [entry for c in self._copies.values() for entry in c.releases]
    rest = [
      entry
      for (name, head), releases in self._unlisted.items()
      if not self._has(name, head)
      for entry in releases
    ]
    return accountants.merged([*listed, *rest])

  def add(self, copy: Copy) -> None:
    """Adds a copy; of two copies of a ledger, the longer one is kept.

    Raises:
      UserError: If the copy is a fork of the known copy.
    """
    self._copies[copy.name] = self._later(copy)

  def add_all(self, others: 'Priors') -> None:
    """Adds all releases that `others` knows.

    Raises:
      UserError: If a copy is a fork of a known copy.
    """
    for copy in others._copies.values():
      self.add(copy)
    self._unlisted |= others._unlisted

  def news(self, others: 'Priors', own: str) -> list[dict[str, Any]]:
    """Returns records, for `read`, of releases that only `others` knows.

    Args:
      others: Known releases from another ledger.
      own: Name of a ledger to leave out.

    Raises:
      UserError: If a copy is a fork of a known copy.
    """
    return [
      *(
        self._record(copy)
        for copy in others._copies.values()
        if copy.name != own and self._is_news(copy)
      ),
      *(
        {'prior': name, 'head': head, 'releases': _to_json(releases)}
        for (name, head), releases in others._unlisted.items()
        if name != own
        and (name, head) not in self._unlisted
        and not self._has(name, head)
        and not others._has(name, head)
      ),
    ]

  def read(self, record: Mapping[str, Any]) -> None:
    """Adds a record; raises errors of many types for a damaged record."""
    name, releases = record['prior'], _from_json(record['releases'])
    if 'head' in record:  # Of version 1.
      self._unlisted[name, record['head']] = releases
      return
    known, text = self._copies.get(name), record['rounds']
    before = known.rounds if known else ()
    if record['after'] != len(before) or len(text) % _DIGITS:
      raise ValueError('Rounds of an earlier run are missing.')
    rounds = (text[i : i + _DIGITS] for i in range(0, len(text), _DIGITS))
    heads = frozenset(record.get('heads', ()))
    self.add(Copy(name, record['version'], (*before, *rounds), releases, heads))

  def warn_of_less(self, copy: Copy, place: object) -> None:
    """Warns if a copy lacks rounds that another ledger records."""
    more = len(self._copies[copy.name].rounds) - len(copy.rounds)
    if more > 0:
      logging.warning(
        '%s is an older copy, or was cut short: %d further rounds of its run'
        ' are known, and counted.',
        place,
        more,
      )

  def _has(self, name: str, head: str) -> bool:
    copy = self._copies.get(name)
    return copy is not None and copy.has(short(head))

  def _later(self, copy: Copy) -> Copy:
    known = self._copies.get(copy.name, copy)
    first, last = sorted((known, copy), key=lambda c: len(c.rounds))
    require_one_run(first.begins(last))
    return dataclasses.replace(last, heads=known.heads | copy.heads)

  def _is_news(self, copy: Copy) -> bool:
    known, later = self._copies.get(copy.name), self._later(copy)
    return known is None or (known.rounds, known.heads) != (
      later.rounds,
      later.heads,
    )

  def _record(self, copy: Copy) -> dict[str, Any]:
    known, later = self._copies.get(copy.name), self._later(copy)
    after = len(known.rounds) if known else 0
    record = {
      'prior': copy.name,
      'version': copy.version,
      'after': after,
      'rounds': ''.join(later.rounds[after:]),
      'releases': _to_json(later.releases),
    }
    return record | ({'heads': sorted(later.heads)} if later.heads else {})


def _to_json(releases: accountants.Releases) -> list[list[Any]]:
  return [[event_records.to_json(event), n] for event, n in releases]


def _from_json(records: Iterable[Any]) -> accountants.Releases:
  return tuple((event_records.from_json(event), n) for event, n in records)
