"""Draws the cohort of a round: the clients that take part."""

from collections.abc import Callable, Sequence
import hashlib
import secrets

import numpy as np

Cohorts = Callable[[int], list[str]]
"""Maps the number of a round to the names of its clients."""

IsAvailable = Callable[[str, int], bool]
"""Maps a client and the number of a round to the client's availability."""

# One seed serves two purposes, and their random numbers must be independent.
_SAMPLING, _DROP_OUT = 0, 1


def _generator(
  seed: int | None, round_number: int, purpose: int = _SAMPLING
) -> np.random.Generator:
  """Returns the random generator of a round.

  Its seed comes from the operating system, or from `seed` and the round.
  """
  if seed is None:
    return np.random.default_rng(secrets.randbits(128))
  return np.random.default_rng([seed, round_number, purpose])


def _always(client_id: str, round_number: int) -> bool:
  del client_id, round_number
  return True


def poisson(
  client_ids: Sequence[str],
  probability: float,
  seed: int | None = None,
  is_available: IsAvailable = _always,
) -> Cohorts:
  """Returns a sampler that draws each client independently.

  Each client is in each round with the same probability.  The size of a cohort
  varies and may be zero: an empty cohort is a valid round.  The privacy
  accountant assumes this sampling.

  Args:
    client_ids: The population.
    probability: Probability that an available client is in a round, in (0, 1].
    seed: Seed of repeatable cohorts.  An attacker who knows the seed can
      predict the cohorts.  By default the operating system gives the
      randomness.
    is_available: Returns whether a client can take part in a round.

  Raises:
    ValueError: If the probability is out of its range.
  """
  if not 0.0 < probability <= 1.0:
    raise ValueError(f'The probability must be in (0, 1], found {probability}.')

  def sample(round_number: int) -> list[str]:
    draws = _generator(seed, round_number).random(len(client_ids))
    drawn = (client_ids[i] for i in np.flatnonzero(draws < probability))
    return [c for c in drawn if is_available(c, round_number)]

  return sample


def fixed_size(
  client_ids: Sequence[str],
  size: int,
  seed: int | None = None,
  is_available: IsAvailable = _always,
) -> Cohorts:
  """Returns a sampler that draws `size` different clients for every round.

  All sets of that size are equally likely.

  Args:
    client_ids: The population.
    size: Number of clients in a round, at most the population.  If fewer
      clients are available, all of them are in the round.
    seed: Seed of repeatable cohorts.  By default the operating system gives the
      randomness.
    is_available: Returns whether a client can take part in a round.

  Raises:
    ValueError: If the population is smaller than the cohort.
  """
  if not 1 <= size <= len(client_ids):
    raise ValueError(
      f'A cohort of {size} from a population of {len(client_ids)} clients.'
    )

  def sample(round_number: int) -> list[str]:
    available = client_ids
    if is_available is not _always:
      available = [c for c in client_ids if is_available(c, round_number)]
    rng = _generator(seed, round_number)
    return [available[i] for i in rng.permutation(len(available))[:size]]

  return sample


def rotation(client_ids: Sequence[str], period: int) -> Cohorts:
  """Returns a sampler in which clients take turns.

  Each client is in one round of every `period` rounds, always in the same turn.
  The turn follows from the client's name alone: a client that joins or leaves
  the population does not change the turn of any other client.  In T rounds a
  client takes part at most ceil(T / period) times.  The accountant assumes
  nothing else.

  Args:
    client_ids: The population.
    period: Number of rounds P from one round of a client to its next.

  Raises:
    ValueError: If the period is less than one round.
  """
  if period < 1:
    raise ValueError(f'A period of {period} rounds.')
  turns: list[list[str]] = [[] for _ in range(period)]
  for client_id in client_ids:
    digest = hashlib.sha256(client_id.encode()).digest()
    turns[int.from_bytes(digest, 'big') % period].append(client_id)
  return lambda round_number: turns[(round_number - 1) % period]


def with_drop_out(
  cohorts: Cohorts, share: float, seed: int | None = None
) -> Cohorts:
  """Returns a sampler in which clients of each cohort drop out at random.

  Clients drop out independently of each other and of their data.  A client that
  drops out adds nothing to the sum.  The guarantee for the whole cohort holds.

  Args:
    cohorts: Sampler of the selected clients.
    share: Probability that a selected client drops out, in [0, 1).
    seed: Seed of repeatable cohorts.  By default the operating system gives the
      randomness.

  Raises:
    ValueError: If the share is out of its range.
  """
  if not 0.0 <= share < 1.0:
    raise ValueError(f'The share must be in [0, 1), found {share}.')

  def sample(round_number: int) -> list[str]:
    selected = cohorts(round_number)
    draws = _generator(seed, round_number, _DROP_OUT).random(len(selected))
    return [c for c, d in zip(selected, draws, strict=True) if d >= share]

  return sample
