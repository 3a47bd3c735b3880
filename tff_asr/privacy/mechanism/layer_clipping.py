"""Holds the settings of the clipping of client updates."""

import dataclasses
import math
import numbers

from tff_asr import errors
from tff_asr.privacy.mechanism import (
  allocation,
  bounds,
  clipping,
  grouping,
)


@dataclasses.dataclass(frozen=True)
class LayerClipping:
  """Describes the clipping of an update by layer groups.

  Attributes:
    clip_norm: Largest contribution C of one client, in L2 norm over all groups.
      With adaptive bounds, this holds in the first round.
    layer_groups: `tensor`, `block` or `model`, see `grouping`.
    layer_bounds: `uniform`, `dim`, `given` or `adaptive`.
    given_bounds: Names and bounds of all groups, for `given`.
    mode: `clip`, or `normalise` as in the code published with the paper.
    quantile: Share of clients that adaptive bounds leave unclipped.
    adaptation_rate: Step of adaptive bounds, in the exponent.
    count_stddev: Standard deviation of the noise on the clip counts of adaptive
      bounds; `None` for `adaptive_query.default_count_stddev`.

  Raises:
    UserError: If a value is out of its range, or values contradict each other.
  """

  clip_norm: float
  layer_groups: str = grouping.TENSOR
  layer_bounds: str = bounds.UNIFORM
  given_bounds: tuple[tuple[str, float], ...] = ()
  mode: str = clipping.CLIP
  quantile: float = 0.5
  adaptation_rate: float = 0.2
  count_stddev: float | None = None

  def __post_init__(self):
    require = errors.require
    require(
      isinstance(self.clip_norm, numbers.Real)
      and bounds.LEAST <= self.clip_norm <= bounds.GREATEST,
      f'`clip_norm={self.clip_norm}` must be from {bounds.LEAST:g} to'
      f' {bounds.GREATEST:g}.',
    )
    for name, allowed in (
      ('layer_groups', grouping.NAMES),
      ('layer_bounds', bounds.NAMES),
      ('mode', clipping.MODES),
    ):
      require(
        getattr(self, name) in allowed,
        f'`{name}={getattr(self, name)}` must be one of {allowed}.',
      )
    require(
      bool(self.given_bounds) == (self.layer_bounds == bounds.GIVEN),
      '`layer_bounds=given` and `given_bounds` need each other: give both, or'
      ' neither.',
    )
    if self.given_bounds:
      total = bounds.total([bound for _, bound in self.given_bounds])
      require(
        math.isclose(total, self.clip_norm, rel_tol=1e-6),
        f'`clip_norm={self.clip_norm:g}` differs from the total of the given'
        f' bounds, {total:g}: leave `clip_norm` out.',
      )
    if self.layer_bounds == bounds.ADAPTIVE:
      require(
        self.mode == clipping.CLIP,
        '`layer_bounds=adaptive` needs `mode=clip`: the groups of a normalised'
        ' update may exceed their bounds.',
      )
    require(
      0.0 < self.quantile < 1.0,
      f'`quantile={self.quantile}` must be between 0 and 1.',
    )
    require(
      0.0 < self.adaptation_rate <= 10.0,
      f'`adaptation_rate={self.adaptation_rate}` must be in (0, 10].',
    )
    require(
      self.count_stddev is None or 0.0 < self.count_stddev < math.inf,
      f'`count_stddev={self.count_stddev}` must be positive and finite.',
    )

  def bounds_of(self, groups: grouping.LayerGroups) -> list[float]:
    """Returns the bounds C_h of the groups in the first round.

    Adaptive bounds change afterwards; all others stay.

    Raises:
      UserError: If the given bounds are for other groups.
    """
    if self.layer_bounds != bounds.GIVEN:
      return bounds.BY_RULE[self.layer_bounds](self.clip_norm, groups.sizes)
    given = dict(self.given_bounds)
    for problem, names in (
      ('lack', sorted(set(groups.names) - set(given))),
      ('have names of no layer group', sorted(set(given) - set(groups.names))),
    ):
      errors.require(
        not names,
        f'The given layer bounds {problem}: {", ".join(names[:5])}'
        f' ({len(names)} in all). The groups by {self.layer_groups} are'
        f' {", ".join(groups.names)}.',
      )
    return [given[name] for name in groups.names]

  def covers(self, noise_allocation: str) -> bool:
    """Returns whether a noise allocation is valid for this clipping mode."""
    return self.mode == clipping.CLIP or noise_allocation == allocation.EQUAL

  def __str__(self) -> str:
    what = {
      grouping.TENSOR: 'each tensor',
      grouping.BLOCK: 'each block',
      grouping.MODEL: 'the whole update',
    }[self.layer_groups]
    bound = {
      bounds.UNIFORM: 'the same bound',
      bounds.DIM: 'a bound in proportion to the root of its size',
      bounds.GIVEN: 'its given bound',
      bounds.ADAPTIVE: (
        f'a bound that follows the {self.quantile:g} quantile of its norms'
      ),
    }[self.layer_bounds]
    if self.layer_bounds == bounds.ADAPTIVE:
      return (
        f'{what} to {bound}; L2 norm of the whole update at most'
        f' {self.clip_norm:g} in the first round'
      )
    if self.layer_groups == grouping.MODEL:
      return f'{what} to an L2 norm of at most {self.clip_norm:g}'
    if self.mode == clipping.NORMALISE:
      return (
        f'in an update of an L2 norm above {self.clip_norm:g}, {what} is scaled'
        f' up or down to {bound}'
      )
    return (
      f'{what} to {bound}; L2 norm of the whole update at most'
      f' {self.clip_norm:g}'
    )
