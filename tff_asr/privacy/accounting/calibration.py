"""The noise, the cohort or the population that meets a target epsilon."""

from collections.abc import Callable

from scipy import optimize

from tff_asr import errors
from tff_asr.privacy.accounting import accountants

_LEAST_NOISE, _GREATEST_NOISE = 2.0**-14, 2.0**30
# Of the noise, how near to the least that will do.
_TOLERANCE = 1e-4
_GREATEST_EXCESS = 1e6  # Epsilon may be infinite where there is little noise.


def noise_multiplier(
  releases_of: Callable[[float], accountants.Releases],
  relation: accountants.Relation,
  epsilon: float,
  delta: float,
) -> float:
  """The least noise multiplier that meets a target, from above.

  By the better of both accountants.

  Args:
    releases_of: From a noise multiplier to all that is released.
    relation: Which populations are neighbours.
    epsilon: Not to be exceeded.
    delta: At which epsilon is meant.

  Raises:
    UserError: If no noise meets it.
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
  # The accountant's step varies a little with epsilon.
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
  """The least integer (a population, a cohort) that meets a target.

  Args:
    releases_of: From an integer to all that is released; epsilon falls as the
      integer grows.
    relation: Which populations are neighbours.
    epsilon: Not to be exceeded.
    delta: At which epsilon is meant.
    least: Smallest integer that makes sense.
    greatest: Largest one.

  Raises:
    UserError: If not even the largest meets it.
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
