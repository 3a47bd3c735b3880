"""The clipped Gaussian sum as a tensorflow_privacy query.

Each layer group of an update is scaled down to its bound if it is longer
(definition 3 of Pelikan et al., 2025, arXiv 2310.00098), and an update with a
NaN or an infinity counts as zero.  So adding or removing one client moves the
sum by at most the total bound C = sqrt(C_1^2 + ... + C_H^2), and each group by
at most C_h.  The noise has the joint multiplier z of `allocation`: the sum is
one Gaussian mechanism, accounted for once, not once for each layer.
"""

import collections
from collections.abc import Sequence
import math
from typing import Any

import dp_accounting
import tensorflow as tf
import tensorflow_privacy as tfp

from tff_asr import tracing
from tff_asr.privacy import allocation, clipping
from tff_asr.privacy import groups as groups_lib
from tff_asr.privacy import noise as noise_lib

State = collections.namedtuple('State', ['bounds', 'draw'])
"""Bounds of the groups, float64 `[H]`; number of the draw, int64 scalar."""


class LayerClippedGaussianSumQuery(tfp.SumAggregationDPQuery):
  """Sum of updates, each layer group clipped to its bound, plus noise."""

  def __init__(
    self,
    groups: groups_lib.LayerGroups,
    bounds: Sequence[float],
    noise_multiplier: float,
    noise_allocation: str = allocation.EQUAL,
    mode: str = clipping.CLIP,
    source: noise_lib.GaussianSource | None = None,
  ):
    """Builds the query.

    Args:
      groups: The layer groups, in which the tensors of an update come in the
        order of `tf.nest.flatten`.
      bounds: L2 bound C_h of every group.
      noise_multiplier: Joint multiplier z of the noise on the sum; 0 for none.
      noise_allocation: How the noise is divided over the groups.
      mode: How an update is brought within its bounds.
      source: Of the noise; by default a new one.

    Raises:
      ValueError: If a bound is not positive and finite, or the multiplier is
        negative or not finite, or the groups of a normalised update, which
        keep within the total bound only, were to get unequal noise.
    """
    if len(bounds) != len(groups.names):
      raise ValueError(f'{len(bounds)} bounds, {len(groups.names)} groups.')
    if not all(0.0 < b < math.inf for b in bounds):
      raise ValueError(f'Layer bounds must be positive and finite: {bounds}.')
    if not 0.0 <= noise_multiplier < math.inf:
      raise ValueError(
        f'The noise multiplier must be finite and >= 0: {noise_multiplier}.'
      )
    if mode == clipping.NORMALISE and noise_allocation != allocation.EQUAL:
      raise ValueError('Normalised updates are covered by equal noise only.')
    self._groups = groups
    self._bounds = tuple(bounds)
    self._noise_multiplier = noise_multiplier
    self._update_multiplier = noise_multiplier
    self._allocation = noise_allocation
    self._factors = clipping.FACTORS[mode]
    self._source = source or noise_lib.GaussianSource()

  def initial_global_state(self) -> State:
    return State(
      tf.constant(self._bounds, tf.float64), tf.constant(0, tf.int64)
    )

  def derive_sample_params(self, global_state: State) -> tf.Tensor:
    return global_state.bounds

  def preprocess_record(self, params: tf.Tensor, record: Any) -> Any:
    """Returns the contribution of one client: finite, clipped by groups."""
    clipped, _, _ = self._clip(params, record)
    return clipped

  def get_noised_result(self, sample_state: Any, global_state: State) -> Any:
    """Returns the noised sum, the next state and the privacy event."""
    seeds = self._source.seeds(global_state.draw, len(self._groups.members))
    noised = self._add_noise(sample_state, global_state.bounds, seeds)
    state = global_state._replace(draw=global_state.draw + 1)
    return noised, state, dp_accounting.GaussianDpEvent(self._noise_multiplier)

  def noise_stddevs(self, bounds: tf.Tensor) -> tf.Tensor:
    """Standard deviation of the noise on the sum, float64 `[H]`.

    Args:
      bounds: Those of the round, float64 `[H]`.
    """
    return allocation.standard_deviations(
      self._allocation, self._update_multiplier, bounds, self._groups.sizes
    )

  def _clip(self, bounds: tf.Tensor, record: Any) -> Any:
    """Returns the clipped update, norms before, and if all was finite."""
    tensors = tf.nest.flatten(record)
    if len(tensors) != len(self._groups.members):
      raise ValueError(
        f'The update has {len(tensors)} tensors, the query'
        f' {len(self._groups.members)}.'
      )
    tensors, finite = clipping.finite_or_zero(tensors)
    norms = clipping.norms(tensors, self._groups)
    clipped = clipping.scale(
      tensors, self._factors(norms, bounds), self._groups
    )
    return tf.nest.pack_sequence_as(record, clipped), norms, finite

  def _add_noise(self, total: Any, bounds: tf.Tensor, seeds: tf.Tensor) -> Any:
    """Adds noise to the update, to each tensor from a seed of its own."""
    stddevs = self.noise_stddevs(bounds)
    add_noise = tracing.once_per_shape(self._source.add_normal)
    noised = [
      add_noise(tensor, stddevs[group], seeds[i])
      for i, (tensor, group) in enumerate(
        zip(tf.nest.flatten(total), self._groups.members, strict=True)
      )
    ]
    return tf.nest.pack_sequence_as(total, noised)
