"""Computes epsilon of past or planned releases with dp_accounting.

Two accountants give upper bounds on the same true epsilon:

* Renyi DP (RDP; Mironov et al., 2019, arXiv 1908.10530), as in the paper.
* Privacy loss distributions (PLD; Doroshenko et al., 2022, arXiv 2207.04380),
  which are tighter.  PLD rounds the losses to a grid, always upwards, so that
  its epsilon stays an upper bound.

The smaller of two upper bounds is an upper bound, too.
"""

from collections.abc import Iterable, Sequence
import dataclasses
import functools
import math
import warnings

import dp_accounting
from dp_accounting.pld import privacy_loss_distribution
import numpy as np

from tff_asr import errors

Relation = dp_accounting.NeighboringRelation

Releases = tuple[tuple[dp_accounting.DpEvent, int], ...]
"""Releases: privacy events, each with the number of times it happens."""

# Step of the losses in PLD as a part of epsilon, and the largest number of
# steps between the losses of one release.  Memory and time grow with this
# number.
_RELATIVE_STEP = 1e-4
_LEAST_EPSILON = 1e-3
_STEP_DELTA = 1e-9  # Delta of the epsilon that decides the step.
_MOST_STEPS = 3e5
_LARGE_EPSILON = 1e3  # From here on, the arithmetic depends on the step.
_STEPS = 4  # Steps between one step and its double.
_COARSENESS = (1.0, 1.5, 2.0, 3.0)  # Factors of the step to try, in this order.


@dataclasses.dataclass(frozen=True)
class Epsilons:
  """Holds upper bounds on one epsilon.

  Attributes:
    rdp: Bound by Renyi DP; `None` where rounding spoils the bound (a tiny
      epsilon).
    pld: Bound by privacy loss distributions; `None` where no bound is known
      (cohorts of fixed size) or cannot be computed (an epsilon of a million).
  """

  rdp: float | None
  pld: float | None

  @property
  def best(self) -> float:
    """The smaller of the two bounds, since both are true.

    PLD usually gives the smaller bound.  RDP does at a tiny delta, where the
    mass that PLD cuts off the tails is no longer small compared with delta.
    """
    return min(b for b in (self.rdp, self.pld) if b is not None)


def text(epsilon: float) -> str:
  """Formats epsilon for people: `none` where there is no guarantee."""
  return f'{epsilon:.4g}' if math.isfinite(epsilon) else 'none'


def merged(releases: Iterable[tuple[dp_accounting.DpEvent, int]]) -> Releases:
  """Adds up the counts of equal events."""
  counts: dict[dp_accounting.DpEvent, int] = {}
  for event, count in releases:
    counts[event] = counts.get(event, 0) + count
  return tuple((event, count) for event, count in counts.items() if count)


def check_delta(delta: float, population: int = 1) -> None:
  """Checks that a delta can be of a guarantee.

  Args:
    delta: Probability that the bound does not hold.
    population: Number of clients; 1 if the number is not known.

  Raises:
    UserError: If delta is not between 0 and one over the population.
  """
  limit = f'1 / {population}, one over the population' * (population > 1)
  errors.require(
    0.0 < delta < 1.0 / population,
    f'`delta={delta:g}` must be more than 0 and less than {limit or 1}: a'
    " larger delta allows a mechanism that publishes one client's data.",
  )


def check_supported(event: dp_accounting.DpEvent, relation: Relation) -> None:
  """Checks that an accountant covers an event.

  Raises:
    UserError: If no accountant does.
  """
  errors.require(
    rdp_accountant(relation).supports(event),
    f'No accountant covers {event} for neighbours by {relation.name}.',
  )


@functools.lru_cache(maxsize=4_096)
def epsilons(releases: Releases, relation: Relation, delta: float) -> Epsilons:
  """Computes epsilon at `delta` of all releases together.

  Without noise, epsilon is infinite.

  Args:
    releases: Events and their counts.
    relation: The neighbouring relation between populations.
    delta: Probability that the bound does not hold.

  Raises:
    UserError: If delta is not a probability, or neither accountant can compute
      epsilon.
  """
  check_delta(delta)
  if not releases:
    return Epsilons(0.0, 0.0)
  least_noise = min(noise_multiplier(event) for event, _ in releases)
  if least_noise == 0.0:
    return Epsilons(math.inf, math.inf)
  rdp = min(
    filter(None, (_rdp(r, relation, delta) for r in _bounds(releases))),
    default=None,
  )
  is_known = relation is Relation.ADD_OR_REMOVE_ONE
  pld = _pld(releases, least_noise, delta) if is_known else None
  if rdp is None and pld is None:
    raise errors.UserError(
      f'Epsilon at delta {delta:g} cannot be computed for {releases}: it is far'
      ' outside of the useful range of the accountants.'
    )
  return Epsilons(rdp, pld)


def _bounds(releases: Releases) -> set[Releases]:
  """Returns releases whose epsilons are bounds for the given releases.

  One element is `releases`.  In the other one, all clients are in every cohort.
  For cohorts of a fixed size with most of the clients, the known bound for
  sampling is worse than the bound without sampling.  The bound without sampling
  holds as well: divergences are convex, and a client outside of the cohort
  changes nothing.
  """
  everybody = merged(
    (
      event.event
      if isinstance(event, dp_accounting.SampledWithoutReplacementDpEvent)
      else event,
      count,
    )
    for event, count in releases
  )
  return {releases, everybody}


def _rdp(releases: Releases, relation: Relation, delta: float) -> float | None:
  """Computes epsilon by RDP; `None` where rounding spoils epsilon."""
  # An epsilon of zero is a rounding error of dp_accounting's log-sum-exp.
  return _finite_or_none(lambda: _by_rdp(releases, relation, delta)) or None


def _pld(releases: Releases, least_noise: float, delta: float) -> float | None:
  """Computes epsilon by PLD; `None` if the arithmetic always fails.

  At huge losses the arithmetic fails with some steps.  A larger step gives an
  upper bound, too.
  """
  for coarseness in _COARSENESS:
    found = _finite_or_none(
      lambda c=coarseness: _composed_by_pld(
        releases, least_noise, c
      ).get_epsilon_for_delta(delta)
    )
    if found is not None:
      return found
  return None


def _by_rdp(releases: Releases, relation: Relation, delta: float) -> float:
  # Renyi divergences add up.
  rdp = sum(count * _rdp_of(event, relation) for event, count in releases)
  orders = rdp_accountant(relation).orders
  return dp_accounting.rdp.compute_epsilon(orders, rdp, delta)[0]


@functools.lru_cache(maxsize=64)
def _rdp_of(event: dp_accounting.DpEvent, relation: Relation) -> np.ndarray:
  """Returns the Renyi divergences of one release, at all orders."""
  return _compose(rdp_accountant(relation), ((event, 1),)).rdp


@functools.lru_cache(maxsize=8)
def _composed_by_pld(
  releases: Releases, noise_multiplier: float, coarseness: float
) -> privacy_loss_distribution.PrivacyLossDistribution:
  """Returns the losses of the releases, the same for every delta.

  If the step depended on delta, epsilon might grow with delta.
  """
  expected = _rdp(releases, Relation.ADD_OR_REMOVE_ONE, _STEP_DELTA)
  step = coarseness * _step(expected or 0.0, noise_multiplier)
  losses = privacy_loss_distribution.identity(step)
  for event, count in releases:
    losses = losses.compose(_losses(event, count, step))
  return losses


def _step(epsilon: float, noise_multiplier: float) -> float:
  """Returns the step to which PLD rounds losses.

  There are few steps, so that many numbers of rounds have the same, and the
  losses of a round need not be computed for each.

  Args:
    epsilon: Approximate expected epsilon.
    noise_multiplier: Smallest noise multiplier of all releases.  Losses of a
      Gaussian are within 1 / (2 z^2) + 10 / z of zero, except for e^-50 of
      their mass.
  """
  finest = max(epsilon, _LEAST_EPSILON) * _RELATIVE_STEP
  span = 1.0 / noise_multiplier**2 + 20.0 / noise_multiplier
  if epsilon < _LARGE_EPSILON:
    finest = 2.0 ** (math.floor(_STEPS * math.log2(finest)) / _STEPS)
  return max(finest, span / _MOST_STEPS)


def _losses(
  event: dp_accounting.DpEvent, count: int, step: float
) -> privacy_loss_distribution.PrivacyLossDistribution:
  """Returns the losses of equal releases: Gaussian, or sampled and Gaussian."""
  if isinstance(event, dp_accounting.GaussianDpEvent):
    return privacy_loss_distribution.from_gaussian_mechanism(
      event.noise_multiplier / math.sqrt(count),
      value_discretization_interval=step,
    )
  return _losses_of_one(event, step).self_compose(count)


@functools.lru_cache(maxsize=8)
def _losses_of_one(
  event: dp_accounting.PoissonSampledDpEvent, step: float
) -> privacy_loss_distribution.PrivacyLossDistribution:
  if not event.sampling_probability:
    return privacy_loss_distribution.identity(step)
  return privacy_loss_distribution.from_gaussian_mechanism(
    event.event.noise_multiplier,
    value_discretization_interval=step,
    sampling_prob=event.sampling_probability,
  )


def rdp_accountant(relation: Relation) -> dp_accounting.PrivacyAccountant:
  """Returns a new accountant by Renyi DP."""
  return dp_accounting.rdp.RdpAccountant(neighboring_relation=relation)


def composed(releases: Releases) -> dp_accounting.DpEvent:
  """Composes all releases into one event."""
  return dp_accounting.ComposedDpEvent(
    [dp_accounting.SelfComposedDpEvent(e, n) for e, n in releases]
  )


def _compose(accountant, releases: Sequence):
  return accountant.compose(composed(tuple(releases)))


def noise_multiplier(event: dp_accounting.DpEvent) -> float:
  """Returns the multiplier of a (sampled) Gaussian event; 0 without noise."""
  return getattr(getattr(event, 'event', event), 'noise_multiplier', 0.0)


def _finite_or_none(compute) -> float | None:
  """Returns the computed epsilon, or `None` if the arithmetic fails."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      epsilon = float(compute())
  except (ValueError, OverflowError):
    return None
  return epsilon if math.isfinite(epsilon) else None
