"""Computes the clipped Gaussian sum as a tensorflow_privacy query.

Each layer group of an update that is longer than its bound is scaled down to
the bound (definition 3 of Pelikan et al., 2025, arXiv 2310.00098).  An update
with a NaN or an infinity counts as zero.  So adding or removing one client
changes the sum by at most the total bound C = sqrt(C_1^2 + ... + C_H^2), and
each group by at most C_h.  The noise has the joint multiplier z of
`allocation`: the sum is one Gaussian mechanism, which the accountant counts
once, not once for each layer.

A client sends integers: steps of a grid, rounded towards zero.  The integers
are within the bounds exactly.  Their sum is exact for any number of clients in
any order.  The noise on the sum is an integer, too (`discrete_gaussian`).  A
step of group h is its noise sigma_h divided by `discrete_gaussian.STDDEV`,
about 2^-22 of sigma_h.  A client sends at most 2^22 / z steps for a coordinate,
so that sums of 64 bits hold 2^41 z clients.  An overflow would spoil the sum,
but not the guarantee: the overflowed sum can be computed from the exact noised
sum.

Without noise there is no grid: updates are summed without rounding.
"""

import collections
from collections.abc import Sequence
from typing import Any

import dp_accounting
import tensorflow as tf
import tensorflow_privacy as tfp

from tff_asr import tracing
from tff_asr.privacy.mechanism import (
  allocation,
  bounds,
  clipping,
  discrete_gaussian,
  grouping,
  noise_seeds,
)

State = collections.namedtuple('State', ['bounds', 'draw'])
"""Bounds of the groups, float64 `[H]`; number of the draw, int64 scalar."""

Params = collections.namedtuple('Params', ['bounds', 'steps'])
"""Bounds of the groups, and steps of their grids, float64 `[H]` each."""


class LayerClippedGaussianSumQuery(tfp.SumAggregationDPQuery):
  """Sums updates, with each layer group clipped to its bound, and adds noise.

  Updates and the noised sum are of float32.
  """

  def __init__(
    self,
    groups: grouping.LayerGroups,
    layer_bounds: Sequence[float],
    noise_multiplier: float,
    noise_allocation: str = allocation.EQUAL,
    mode: str = clipping.CLIP,
    source: noise_seeds.SeedSource | None = None,
  ):
    """Builds the query.

    Args:
      groups: The layer groups.  Their tensors are in the order of
        `tf.nest.flatten`.
      layer_bounds: L2 bound C_h of every group.
      noise_multiplier: Joint multiplier z of the noise on the sum; 0 for none.
      noise_allocation: Division of the noise over the groups.
      mode: Rule that brings an update within its bounds.
      source: Source of the seeds of the noise; by default a new one.

    Raises:
      ValueError: If a bound or the noise multiplier is out of its range, or
        the groups of a normalised update would get unequal noise: such an
        update is within the total bound, but its groups may exceed theirs.
    """
    if len(layer_bounds) != len(groups.names):
      raise ValueError(
        f'There are {len(layer_bounds)} bounds for {len(groups.names)} groups.'
      )
    for name, bound in zip(groups.names, layer_bounds, strict=True):
      if not bounds.LEAST <= bound <= bounds.GREATEST:
        raise ValueError(
          f'The bound {bound:g} of layer {name} must be from'
          f' {bounds.LEAST:g} to {bounds.GREATEST:g}: change'
          ' `clip_norm`, or `given_bounds`.'
        )
    if not allocation.is_noise_multiplier(noise_multiplier):
      raise ValueError(
        f'The noise multiplier {noise_multiplier} must be from'
        f' {allocation.LEAST_NOISE_MULTIPLIER:g} to'
        f' {allocation.GREATEST_NOISE_MULTIPLIER:g}, or 0 for none.'
      )
    if mode == clipping.NORMALISE and noise_allocation != allocation.EQUAL:
      raise ValueError('Normalised updates are covered by equal noise only.')
    self._groups = groups
    self._bounds = tuple(layer_bounds)
    self._noise_multiplier = noise_multiplier
    self._update_multiplier = noise_multiplier
    self._allocation = noise_allocation
    self._factors = clipping.FACTORS[mode]
    self._source = source or noise_seeds.SeedSource()

  @property
  def _is_noised(self) -> bool:
    return self._noise_multiplier > 0.0

  def initial_global_state(self) -> State:
    return State(
      tf.constant(self._bounds, tf.float64), tf.constant(0, tf.int64)
    )

  def derive_sample_params(self, global_state: State) -> Params:
    return Params(global_state.bounds, self._steps(global_state.bounds))

  def initial_sample_state(self, template: Any = None) -> Any:
    zeros = super().initial_sample_state(template)
    if not self._is_noised:
      return zeros
    return tf.nest.map_structure(lambda t: tf.cast(t, tf.int64), zeros)

  def preprocess_record(self, params: Params, record: Any) -> Any:
    """Returns the contribution of one client: finite, clipped by groups.

    If the query adds noise, the contribution is int64, in steps of the grids.
    """
    clipped, _, _ = self._clip(params, record)
    return clipped

  def get_noised_result(self, sample_state: Any, global_state: State) -> Any:
    """Returns the noised sum, the next state and the privacy event."""
    seeds = self._source.seeds(global_state.draw, len(self._groups.members))
    noised = self._add_noise(sample_state, global_state.bounds, seeds)
    state = global_state._replace(draw=global_state.draw + 1)
    return noised, state, dp_accounting.GaussianDpEvent(self._noise_multiplier)

  def noise_stddevs(self, bounds: tf.Tensor) -> tf.Tensor:
    """Returns the standard deviation of the noise on the sum, float64 `[H]`.

    Args:
      bounds: Bounds of the round, float64 `[H]`.
    """
    return allocation.standard_deviations(
      self._allocation, self._update_multiplier, bounds, self._groups.sizes
    )

  def _steps(self, bounds: tf.Tensor) -> tf.Tensor:
    return self.noise_stddevs(bounds) / discrete_gaussian.STDDEV

  def _clip(self, params: Params, record: Any) -> Any:
    """Returns the clipped update, its norms before, and if it was finite."""
    tensors = tf.nest.flatten(record)
    if len(tensors) != len(self._groups.members):
      raise ValueError(
        f'The update has {len(tensors)} tensors, the query expects'
        f' {len(self._groups.members)}.'
      )
    norms, finite = clipping.norms(tensors, self._groups)
    factors = self._factors(norms, params.bounds)
    if self._is_noised:
      clipped = clipping.scale_to_steps(
        tensors, factors, params.steps, self._groups, finite
      )
    else:
      clipped = clipping.scale(tensors, factors, self._groups, finite)
    return tf.nest.pack_sequence_as(record, clipped), norms, finite

  def _add_noise(self, total: Any, bounds: tf.Tensor, seeds: tf.Tensor) -> Any:
    """Adds noise to each tensor of the update, from a separate seed."""
    if not self._is_noised:
      return total
    steps = self._steps(bounds)
    noised = discrete_gaussian.add_noise(
      tf.nest.flatten(total), tf.unstack(seeds)
    )
    return tf.nest.pack_sequence_as(
      total,
      [
        _in_float32(tensor, steps[group])
        for tensor, group in zip(noised, self._groups.members, strict=True)
      ],
    )


@tracing.once_per_shape
def _in_float32(steps_of_grid, step):
  return tf.cast(tf.cast(steps_of_grid, tf.float64) * step, tf.float32)
