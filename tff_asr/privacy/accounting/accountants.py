"""Epsilon of what was, or is to be, released, by dp_accounting.

Two accountants side by side, both upper bounds on the same true epsilon: Renyi
DP (RDP; Mironov et al., 2019, arXiv 1908.10530), the paper's, and privacy loss
distributions (PLD; Doroshenko et al., 2022, arXiv 2207.04380), which is
tighter.  PLD discretises losses, always rounding against us.  The smaller of
two upper bounds is one as well.
"""

from collections.abc import Iterable, Sequence
import dataclasses
import functools
import math
import warnings

import dp_accounting

from tff_asr import errors

Relation = dp_accounting.NeighboringRelation

Releases = tuple[tuple[dp_accounting.DpEvent, int], ...]
"""What is released: events, each with the number of times it happens."""

# Step of the losses in PLD, as a part of epsilon, and the most steps there may
# be between the losses of a single release: memory and time go with them.
_RELATIVE_STEP = 1e-4
_LEAST_EPSILON = 1e-3
_STEP_DELTA = 1e-9  # At which that epsilon is meant.
_MOST_STEPS = 3e5


@dataclasses.dataclass(frozen=True)
class Epsilons:
  """Bounds on one epsilon.

  Attributes:
    rdp: By Renyi DP; `None` where rounding spoils it (a tiny epsilon).
    pld: By privacy loss distributions; `None` where that is not known (cohorts
      of fixed size) or cannot be computed (an epsilon of a million).
  """

  rdp: float | None
  pld: float | None

  @property
  def best(self) -> float:
    """The smaller of the bounds: what is below either is below both.

    PLD's, as a rule; at a tiny delta RDP's, where the mass that PLD cuts off
    the tails is no longer small beside it.
    """
    return min(b for b in (self.rdp, self.pld) if b is not None)


def text(epsilon: float) -> str:
  """Epsilon for people: `none` where nothing is guaranteed."""
  return f'{epsilon:.4g}' if math.isfinite(epsilon) else 'none'


def merged(releases: Iterable[tuple[dp_accounting.DpEvent, int]]) -> Releases:
  """Adds up the counts of equal events."""
  counts: dict[dp_accounting.DpEvent, int] = {}
  for event, count in releases:
    counts[event] = counts.get(event, 0) + count
  return tuple((event, count) for event, count in counts.items() if count)


@functools.lru_cache(maxsize=4_096)
def epsilons(releases: Releases, relation: Relation, delta: float) -> Epsilons:
  """Epsilon at `delta` of all releases together; infinite without noise.

  Args:
    releases: Events and their counts.
    relation: Which populations are neighbours.
    delta: Probability that the bound does not hold.

  Raises:
    UserError: If neither accountant can compute it.
  """
  if not releases:
    return Epsilons(0.0, 0.0)
  noise_multiplier = min(_noise_multiplier(event) for event, _ in releases)
  if noise_multiplier == 0.0:
    return Epsilons(math.inf, math.inf)
  rdp = min(
    filter(None, (_rdp(r, relation, delta) for r in _bounds(releases))),
    default=None,
  )
  pld = None
  if relation is Relation.ADD_OR_REMOVE_ONE:
    pld = _finite_or_none(
      lambda: _composed_by_pld(releases, noise_multiplier).get_epsilon(delta)
    )
  if rdp is None and pld is None:
    raise errors.UserError(
      f'Epsilon at delta {delta:g} cannot be computed for {releases}: too far'
      ' from any use for the accountants.'
    )
  return Epsilons(rdp, pld)


def _bounds(releases: Releases) -> set[Releases]:
  """Releases that are worth at least as much, the given ones among them.

  Where most clients are in a cohort of fixed size, the known bound for sampling
  is worse than that for everybody, which holds as well: divergences are convex,
  and whoever is not in the cohort changes nothing.
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
  """Epsilon by RDP, `None` where rounding spoils it."""
  # Zero is what is lost to rounding: see dp_accounting's log-sum-exp.
  return (
    _finite_or_none(
      lambda: _composed_by_rdp(releases, relation).get_epsilon(delta)
    )
    or None
  )


@functools.lru_cache(maxsize=64)
def _composed_by_rdp(
  releases: Releases, relation: Relation
) -> dp_accounting.PrivacyAccountant:
  """An accountant of the releases, which serves every delta."""
  return _compose(rdp_accountant(relation), releases)


@functools.lru_cache(maxsize=8)
def _composed_by_pld(
  releases: Releases, noise_multiplier: float
) -> dp_accounting.PrivacyAccountant:
  """An accountant of the releases, the same for every delta.

  So that epsilon never grows with delta, as it might if the step followed.
  """
  expected = _rdp(releases, Relation.ADD_OR_REMOVE_ONE, _STEP_DELTA)
  return _compose(pld_accountant(expected or 0.0, noise_multiplier), releases)


def rdp_accountant(relation: Relation) -> dp_accounting.PrivacyAccountant:
  """A fresh accountant by Renyi DP."""
  return dp_accounting.rdp.RdpAccountant(neighboring_relation=relation)


def pld_accountant(
  epsilon: float, noise_multiplier: float
) -> dp_accounting.PrivacyAccountant:
  """A fresh accountant by privacy loss distributions, users added or removed.

  Args:
    epsilon: About what is expected; decides the step of the losses.
    noise_multiplier: The least one of all releases.  Losses of a Gaussian are
      within 1 / (2 z^2) + 10 / z of zero, but for e^-50 of their mass.
  """
  span = 1.0 / noise_multiplier**2 + 20.0 / noise_multiplier
  step = max(max(epsilon, _LEAST_EPSILON) * _RELATIVE_STEP, span / _MOST_STEPS)
  return dp_accounting.pld.PLDAccountant(
    Relation.ADD_OR_REMOVE_ONE, value_discretization_interval=step
  )


def composed(releases: Releases) -> dp_accounting.DpEvent:
  """All releases as one event."""
  return dp_accounting.ComposedDpEvent(
    [dp_accounting.SelfComposedDpEvent(e, n) for e, n in releases]
  )


def _compose(accountant, releases: Sequence):
  return accountant.compose(composed(tuple(releases)))


def _noise_multiplier(event: dp_accounting.DpEvent) -> float:
  """That of the Gaussian, sampled or not; 0 for what has no noise."""
  return getattr(getattr(event, 'event', event), 'noise_multiplier', 0.0)


def _finite_or_none(compute) -> float | None:
  """The result, or `None` if arithmetic fails at the ends of its range."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      epsilon = float(compute())
  except (ValueError, OverflowError):
    return None
  return epsilon if math.isfinite(epsilon) else None
