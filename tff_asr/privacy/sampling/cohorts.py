"""Who takes part in a round."""

from collections.abc import Callable, Sequence
import hashlib
import secrets

import numpy as np

Cohorts = Callable[[int], list[str]]
"""Maps the number of a round to the names of its clients."""

IsThere = Callable[[str, int], bool]
"""Whether a client can take part in the round of a number."""

# Chance that is drawn from the same seed for different ends.
_SAMPLING, _DROP_OUT = 0, 1


def _generator(
  seed: int | None, round_number: int, end: int = _SAMPLING
) -> np.random.Generator:
  """Chance of one round: from the system, or from a seed and the round."""
  if seed is None:
    return np.random.default_rng(secrets.randbits(128))
  return np.random.default_rng([seed, round_number, end])


def _always(client_id: str, round_number: int) -> bool:
  del client_id, round_number
  return True


def poisson(
  client_ids: Sequence[str],
  probability: float,
  seed: int | None = None,
  is_there: IsThere = _always,
) -> Cohorts:
  """Each client is in each round with the same probability, independently.

  So the size of a cohort varies, down to nobody: an empty cohort is a valid
  round.  This is the sampling that the privacy accountant assumes.

  Args:
    client_ids: The population.
    probability: With which a client who is there is in a round, in (0, 1].
    seed: For repeatable cohorts, which an attacker who knows the seed can
      predict; by default chance comes from the operating system.
    is_there: Who can take part in which round.

  Raises:
    ValueError: If the probability is out of its range.
  """
  if not 0.0 < probability <= 1.0:
    raise ValueError(f'The probability must be in (0, 1], found {probability}.')

  def sample(round_number: int) -> list[str]:
    draws = _generator(seed, round_number).random(len(client_ids))
    return [
      c
      for c, d in zip(client_ids, draws, strict=True)
      if d < probability and is_there(c, round_number)
    ]

  return sample


def fixed_size(
  client_ids: Sequence[str],
  size: int,
  seed: int | None = None,
  is_there: IsThere = _always,
) -> Cohorts:
  """Every round has `size` different clients, all sets equally likely.

  Args:
    client_ids: The population.
    size: Number of clients in a round, at most the population; all who are
      there, where they are fewer.
    seed: For repeatable cohorts; by default chance comes from the system.
    is_there: Who can take part in which round.

  Raises:
    ValueError: If the population is smaller than the cohort.
  """
  if not 1 <= size <= len(client_ids):
    raise ValueError(
      f'A cohort of {size} from a population of {len(client_ids)} clients.'
    )

  def sample(round_number: int) -> list[str]:
    there = [c for c in client_ids if is_there(c, round_number)]
    rng = _generator(seed, round_number)
    return [there[i] for i in rng.permutation(len(there))[:size]]

  return sample


def rotation(client_ids: Sequence[str], period: int) -> Cohorts:
  """Each client is in one round of every `period`, always the same one.

  Which one follows from the client's name alone, so that nobody's coming or
  going moves anybody else.  In T rounds a client takes part at most
  ceil(T / period) times, which is all that the accountant assumes.

  Args:
    client_ids: The population.
    period: Number of rounds P between the rounds of a client.

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
  """Some clients of each cohort do not answer, each by chance.

  Who drops out does not depend on data, and adds nothing to the sum: what is
  promised for the whole cohort holds.

  Args:
    cohorts: Who is selected.
    share: Probability with which a client drops out, in [0, 1).
    seed: For repeatable cohorts; by default chance comes from the system.

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
