"""Draws among speakers that tell of nobody who is not drawn.

A draw by place in a list of all speakers moves with each of them, and who is
drawn then tells who is there.  Here a hash of a speaker's own name decides,
which holds for whoever is not drawn: without them, the draw is the same.
"""

from collections.abc import Iterable
import hashlib

_BYTES = 16


def smallest(
  names: Iterable[str], number: int, purpose: str, seed: int
) -> frozenset[str]:
  """Draws a number of speakers: those whose names have the smallest hashes.

  One speaker more changes the draw only by being drawn, in place of the one who
  had the greatest hash in it.

  Args:
    names: The speakers.
    number: How many are drawn, at most all.
    purpose: What they are drawn for: draws for different ends are independent.
    seed: Of the draw.
  """
  ordered = sorted(names, key=lambda name: (_hash(name, purpose, seed), name))
  return frozenset(ordered[:number])


def share(
  names: Iterable[str], fraction: float, purpose: str, seed: int
) -> frozenset[str]:
  """Draws each speaker with the same probability, whoever else is there.

  Args:
    names: The speakers.
    fraction: The probability.
    purpose: As in `smallest`, and likewise the seed.
    seed: Of the draw.
  """
  bound = fraction * 2.0 ** (8 * _BYTES)
  return frozenset(name for name in names if _hash(name, purpose, seed) < bound)


def _hash(name: str, purpose: str, seed: int) -> int:
  digest = hashlib.blake2b(
    # A name that the file system gave may hold what UTF-8 cannot write.
    name.encode('utf-8', 'surrogatepass'),
    key=f'{purpose} {seed}'.encode(),
    digest_size=_BYTES,
  )
  return int.from_bytes(digest.digest(), 'big')
