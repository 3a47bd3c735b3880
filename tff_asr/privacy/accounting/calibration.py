"""Finds the noise, the cohort or the population that meets a target epsilon."""

from collections.abc import Callable

from scipy import optimize

from tff_asr import errors
from tff_asr.privacy.accounting import accountants

_LEAST_NOISE, _GREATEST_NOISE = 2.0**-14, 2.0**30
# Relative distance from the least noise that meets the target.
_TOLERANCE = 1e-4
_GREATEST_EXCESS = 1e6  # Epsilon may be infinite where there is little noise.


def noise_multiplier(
  releases_of: Callable[[float], accountants.Releases],
  relation: accountants.Relation,
  epsilon: float,
  delta: float,
) -> float:
  """Finds the least noise multiplier that meets a target epsilon.

  The result is slightly above the exact solution, never below it.  Epsilon is
  the smaller bound of both accountants.

  Args:
    releases_of: Maps a noise multiplier to all releases.
    relation: The neighbouring relation between populations.
    epsilon: The target, which epsilon must not exceed.
    delta: Delta of the target.

  Raises:
    UserError: If no noise meets the target.
  """

  def excess(noise):
    found = accountants.epsilons(releases_of(noise), relation, delta)
    return found.best - epsilon

  def meets(noise):
    return excess(noise) <= 0.0

  high = 1.0
  while high > _LEAST_NOISE and meets(high / 2):
    high /= 2
  while not meets(high):
    high *= 2
    if high > _GREATEST_NOISE:
      raise errors.UserError(
        f'No noise meets epsilon {epsilon:g} at delta {delta:g}.'
      )
  if high <= _LEAST_NOISE:
    return high
  best = optimize.brentq(
    lambda noise: min(excess(noise), _GREATEST_EXCESS),
    high / 2,
    high,
    xtol=high * _TOLERANCE,
  )
  # The accountant's step varies slightly with epsilon, so `best` may miss.
  while not meets(best):
    best *= 1.0 + _TOLERANCE
  return best


def least_integer(
  releases_of: Callable[[int], accountants.Releases],
  relation: accountants.Relation,
  epsilon: float,
  delta: float,
  least: int,
  greatest: int,
) -> int:
  """Finds the least integer (a population, a cohort) that meets a target.

  Args:
    releases_of: Maps an integer to all releases.  Epsilon must decrease as the
      integer grows.
    relation: The neighbouring relation between populations.
    epsilon: The target, which epsilon must not exceed.
    delta: Delta of the target.
    least: Smallest integer to try.
    greatest: Largest integer to try.

  Raises:
    UserError: If the largest integer does not meet the target.
  """

  def meets(value):
    return (
      accountants.epsilons(releases_of(value), relation, delta).best <= epsilon
    )

  low, high = least - 1, least
  while not meets(high):
    if high == greatest:
      raise errors.UserError(
        f'Nothing up to {greatest:,} meets epsilon {epsilon:g} at delta'
        f' {delta:g}: add noise, or ask for less.'
      )
    low, high = high, min(2 * high, greatest)
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (low, middle) if meets(middle) else (middle, high)
  return high
