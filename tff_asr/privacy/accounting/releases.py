"""Releases of rounds, and the client whom most of them concern."""

from collections.abc import Iterable
import dataclasses

import dp_accounting


@dataclasses.dataclass(frozen=True)
class RoundRelease:
  """The release of one round.

  Attributes:
    event: The mechanism, as a client sees it who may take part.
    turn: Which clients may, where they take turns: `(turn, period)`.  A client
      is in the same turn of all rounds.
  """

  event: dp_accounting.DpEvent
  turn: tuple[int, int] | None = None


def most_concerned(
  releases: Iterable[RoundRelease],
) -> list[tuple[dp_accounting.DpEvent, int]]:
  """Returns the releases of the client who is in most of them."""
  everybody: list[tuple[dp_accounting.DpEvent, int]] = []
  turns: dict[tuple[int, int], list[tuple[dp_accounting.DpEvent, int]]] = {}
  for release in releases:
    of = (
      everybody if release.turn is None else turns.setdefault(release.turn, [])
    )
    of.append((release.event, 1))
  return everybody + max(turns.values(), key=len, default=[])
