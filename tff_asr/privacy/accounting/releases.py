"""Describes the releases of rounds, and finds the client with the most."""

from collections.abc import Iterable
import dataclasses

import dp_accounting


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


def most_concerned(
  releases: Iterable[RoundRelease],
) -> list[tuple[dp_accounting.DpEvent, int]]:
  """Returns the releases to the client with the most releases.

  If the turns have several periods or events, the result has all releases: an
  upper bound.
  """
  everybody: list[tuple[dp_accounting.DpEvent, int]] = []
  turns: dict[tuple[int, int], list[tuple[dp_accounting.DpEvent, int]]] = {}
  for release in releases:
    of = (
      everybody if release.turn is None else turns.setdefault(release.turn, [])
    )
    of.append((release.event, 1))
  kinds = {
    (period, event) for (_, period), of in turns.items() for event, _ in of
  }
  if len(kinds) > 1:
    return everybody + [found for of in turns.values() for found in of]
  return everybody + max(turns.values(), key=len, default=[])
