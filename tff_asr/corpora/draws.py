"""Random draws of speakers that do not depend on the speakers not drawn.

A draw by position in a list of all speakers depends on each speaker in the
list, so the result reveals the others.  Here a hash of a speaker's own name
decides: without a speaker who is not drawn, the draw is the same.
"""

from collections.abc import Iterable
import hashlib

_BYTES = 16


def smallest(
  names: Iterable[str], number: int, purpose: str, seed: int
) -> frozenset[str]:
  """Draws a number of speakers: the speakers with the smallest hashes.

  An additional speaker changes the draw only if drawn, and then replaces the
  drawn speaker with the greatest hash.

  Args:
    names: The speakers.
    number: Number of speakers to draw; at most all are drawn.
    purpose: Purpose of the draw; draws for different purposes are independent.
    seed: Seed of the draw.
  """
  ordered = sorted(names, key=lambda name: (_hash(name, purpose, seed), name))
  return frozenset(ordered[:number])


def share(
  names: Iterable[str], fraction: float, purpose: str, seed: int
) -> frozenset[str]:
  """Draws each speaker with the same probability, independently of others.

  Args:
    names: The speakers.
    fraction: The probability.
    purpose: Purpose of the draw; draws for different purposes are independent.
    seed: Seed of the draw.
  """
  bound = fraction * 2.0 ** (8 * _BYTES)
  return frozenset(name for name in names if _hash(name, purpose, seed) < bound)


def _hash(name: str, purpose: str, seed: int) -> int:
  digest = hashlib.blake2b(
    # A name from the file system may contain surrogates.
    name.encode('utf-8', 'surrogatepass'),
    key=f'{purpose} {seed}'.encode(),
    digest_size=_BYTES,
  )
  return int.from_bytes(digest.digest(), 'big')
