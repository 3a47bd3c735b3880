"""Describes the releases of rounds, and finds the client with the most."""

from collections.abc import Iterable
import copy
import dataclasses

import dp_accounting

from tff_asr.privacy.accounting import accountants


@dataclasses.dataclass(frozen=True)
class RoundRelease:
  """Describes the release of one round.

  Attributes:
    event: Privacy event for a client that may take part.
    turn: Turn of the clients that may take part, as `(turn, period)`; `None` if
      clients do not take turns.  A client always has the same turn.
  """

  event: dp_accounting.DpEvent
  turn: tuple[int, int] | None = None


_ByEvent = dict[dp_accounting.DpEvent, int]


class Counts:
  """Counts the releases of rounds; to count one more takes constant time."""

  def __init__(self):
    """Initializes the counts without releases."""
    self._everybody: _ByEvent = {}
    self._turns: dict[tuple[int, int], _ByEvent] = {}
    self._kinds: set[tuple[int, dp_accounting.DpEvent]] = set()
    self._most: _ByEvent = {}

  def add(self, release: RoundRelease) -> None:
    """Counts the release of a round."""
    event, turn = release.event, release.turn
    if turn is None:
      self._everybody[event] = self._everybody.get(event, 0) + 1
      return
    counts = self._turns.setdefault(turn, {})
    counts[event] = counts.get(event, 0) + 1
    self._kinds.add((turn[1], event))
    if len(self._kinds) == 1 and counts[event] > self._most.get(event, 0):
      self._most = counts

  def most_concerned(
    self, further: Iterable[RoundRelease] = ()
  ) -> accountants.Releases:
    """Returns the releases to the client with the most releases.

    If the turns have several periods or events, the result has all releases: an
    upper bound.

    Args:
      further: Future releases, to count as well.
    """
    further = list(further)
    if further:
      counts = copy.deepcopy(self)
      for release in further:
        counts.add(release)
      return counts.most_concerned()
    is_one = len(self._kinds) < 2
    turns = [self._most] if is_one else self._turns.values()
    return accountants.merged(
      entry for of in (self._everybody, *turns) for entry in of.items()
    )
