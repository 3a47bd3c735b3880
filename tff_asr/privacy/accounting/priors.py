"""The known releases of other ledgers, each round once.

A ledger is known by its name and by the hashes of its rounds' lines.  These are
chained, and every line has a random number, so that equal hashes are the same
releases: of two copies of a ledger, one has all that the other has if its list
begins with the other's.  Otherwise both went on from one copy, and are refused.

Sixteen hexadecimal digits of a hash are kept.  A fork is missed only if *all*
hashes of the shorter list after the fork agree with those at the same places of
the longer; for one round that is a chance of 2^-64 for each pair of copies.
"""

from collections.abc import Iterable, Mapping
import dataclasses
from typing import Any

from absl import logging

from tff_asr import errors
from tff_asr.privacy.accounting import accountants, event_records

_DIGITS = 16

# The version without lists of rounds, and the guarantee of whose time was
# false in places: see `runs/accounts.py`.
OLD_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Copy:
  """The releases of one copy of a ledger.

  Attributes:
    name: Of the ledger.
    version: Of its format.
    rounds: Short hashes of its rounds' lines, in order.
    releases: To the client who is in most of them.
    heads: Short hashes of its other lines that version 1 may have known it by.
  """

  name: str
  version: int
  rounds: tuple[str, ...]
  releases: accountants.Releases
  heads: frozenset[str] = frozenset()

  def begins(self, other: 'Copy') -> bool:
    """Whether another copy has all releases of this one."""
    return other.rounds[: len(self.rounds)] == self.rounds

  def has(self, head: str) -> bool:
    """Whether the copy goes at least as far as a line, by its short hash."""
    return head in self.heads or head in self.rounds


def short(line_hash: str) -> str:
  """Returns what is kept of the hash of a line."""
  return line_hash[:_DIGITS]


def require_one_run(is_one: bool) -> None:
  """Raises a `UserError` unless two copies of a ledger are of one run."""
  errors.require(
    is_one,
    'Two copies of one privacy ledger were both gone on with: what they'
    ' released adds up, and neither tells. No epsilon is true for the clients'
    ' of both runs: take other clients, or leave out a run that nobody has seen'
    ' anything of.',
  )


class Priors:
  """The known releases of several ledgers.

  Version 1 recorded of another ledger no list, only its last line (`head`) and
  how much it had released.  Where a known list has that line, it has those
  releases.  Where none has, they are counted beside those of the list, and
  beside those after other heads: they may be the same ones, but nothing shows
  it, and an upper bound is true.
  """

  def __init__(self):
    self._copies: dict[str, Copy] = {}
    self._unlisted: dict[tuple[str, str], accountants.Releases] = {}

  @property
  def names(self) -> set[str]:
    """Names of the ledgers."""
    return {*self._copies, *(name for name, _ in self._unlisted)}

  @property
  def has_old(self) -> bool:
    """Whether a ledger of version 1 is among them."""
    versions = {copy.version for copy in self._copies.values()}
    return bool(self._unlisted) or OLD_VERSION in versions

  def copy_of(self, name: str) -> Copy | None:
    """Returns the latest known copy of a ledger."""
    return self._copies.get(name)

  def heads_of(self, name: str) -> list[str]:
    """Returns the short hashes of lines by which version 1 knew a ledger."""
    return [short(head) for of, head in self._unlisted if of == name]

  def releases(self) -> accountants.Releases:
    """Returns all releases, to a client who is in most of each ledger's."""
    listed = [entry for c in self._copies.values() for entry in c.releases]
    rest = [
      entry
      for (name, head), releases in self._unlisted.items()
      if not self._has(name, head)
      for entry in releases
    ]
    return accountants.merged([*listed, *rest])

  def add(self, copy: Copy) -> None:
    """Takes over a copy, where it has more than is known.

    Raises:
      UserError: If it is a fork of the known one.
    """
    self._copies[copy.name] = self._later(copy)

  def add_all(self, others: 'Priors') -> None:
    """Takes over what is known elsewhere.

    Raises:
      UserError: If a copy is a fork of a known one.
    """
    for copy in others._copies.values():
      self.add(copy)
    self._unlisted |= others._unlisted

  def news(self, others: 'Priors', own: str) -> list[dict[str, Any]]:
    """Returns records for `read` of what is known elsewhere and not here.

    Args:
      others: What is known elsewhere.
      own: Name of a ledger to leave out.

    Raises:
      UserError: If a copy is a fork of the known one.
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
    """Takes over a record; raises errors of many kinds if it is damaged."""
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
    """Warns where a copy lacks rounds that are known from elsewhere."""
    more = len(self._copies[copy.name].rounds) - len(copy.rounds)
    if more > 0:
      logging.warning(
        '%s is an older copy, or was cut short: of its run %d further rounds'
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
