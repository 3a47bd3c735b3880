"""Clipped Gaussian sums as tensorflow_privacy queries.

What a client contributes is bounded here and nowhere else: each layer of the
update is scaled down to its bound if it is longer (definition 3 of Pelikan et
al., 2025, arXiv 2310.00098), and an update with a NaN or an infinity counts as
zero.  So adding or removing one client moves the sum by at most the total bound
C = sqrt(C_1^2 + ... + C_H^2), the sensitivity to which the noise is fitted.
Noise has the same standard deviation on every coordinate: the sum is one
Gaussian mechanism of multiplier std / C, accounted for once, not per layer.
"""

import collections
from collections.abc import Sequence
import math
from typing import Any

import dp_accounting
import tensorflow as tf
import tensorflow_privacy as tfp

# Scaling rounds each coordinate by at most one part in 2^24; the bound is
# aimed at from below by more than that, so that rounding cannot pass it.
_ROUNDING_MARGIN = 1.0 - 2.0**-22


def clip_to_norm(tensors: Sequence[tf.Tensor], bound: float) -> list[tf.Tensor]:
  """Scales `tensors` so that their joint L2 norm is at most `bound`.

  Tensors within the bound are returned as they are.  The norm is taken in
  float64, in which no finite float32 value overflows.

  Args:
    tensors: float32 tensors of any shapes, finite.
    bound: Greatest L2 norm over all of them together.
  """
  squares = [tf.reduce_sum(tf.square(tf.cast(t, tf.float64))) for t in tensors]
  norm = tf.sqrt(tf.add_n(squares))
  bound = tf.constant(bound, tf.float64)
  scale = tf.where(norm > bound, bound * _ROUNDING_MARGIN / norm, 1.0)
  return [tf.cast(tf.cast(t, tf.float64) * scale, t.dtype) for t in tensors]


class LayerClippedGaussianSumQuery(tfp.SumAggregationDPQuery):
  """Sum of updates, each layer group clipped to its bound, plus noise."""

  _GlobalState = collections.namedtuple('_GlobalState', ['stddev'])

  def __init__(
    self,
    bounds: Sequence[float],
    stddev: float,
    groups: Sequence[int] | None = None,
  ):
    """Builds the query.

    Args:
      bounds: L2 bound C_g of every layer group.
      stddev: Standard deviation of the noise on each coordinate of the sum.
      groups: For each tensor of an update, in the order of `tf.nest.flatten`,
        the index of its group; by default every tensor is a group of its own.

    Raises:
      ValueError: If a bound is not positive and finite, or the standard
        deviation is negative or not finite.
    """
    if not bounds or not all(0.0 < b < math.inf for b in bounds):
      raise ValueError(f'Layer bounds must be positive and finite: {bounds}.')
    if not 0.0 <= stddev < math.inf:
      raise ValueError(f'The noise must be finite and >= 0, found {stddev}.')
    self._bounds = tuple(bounds)
    self._stddev = stddev
    self._groups = tuple(range(len(bounds)) if groups is None else groups)
    if set(self._groups) != set(range(len(bounds))):
      raise ValueError(f'{len(bounds)} bounds for the groups {self._groups}.')

  @property
  def sensitivity(self) -> float:
    """Most that one client moves the sum, in L2 norm: C."""
    return math.sqrt(sum(b * b for b in self._bounds))

  def initial_global_state(self):
    return self._GlobalState(tf.constant(self._stddev, tf.float32))

  def derive_sample_params(self, global_state):
    return ()

  def preprocess_record(self, params, record: Any) -> Any:
    """Returns the contribution of one client: finite, clipped by layers."""
    tensors = tf.nest.flatten(record)
    if len(tensors) != len(self._groups):
      raise ValueError(
        f'The update has {len(tensors)} tensors, the query {len(self._groups)}.'
      )
    finite = tf.reduce_all(
      [tf.reduce_all(tf.math.is_finite(t)) for t in tensors]
    )
    tensors = [tf.where(finite, t, tf.zeros_like(t)) for t in tensors]
    clipped: list[Any] = [None] * len(tensors)
    for group, bound in enumerate(self._bounds):
      members = [i for i, g in enumerate(self._groups) if g == group]
      together = clip_to_norm([tensors[i] for i in members], bound)
      for i, tensor in zip(members, together, strict=True):
        clipped[i] = tensor
    return tf.nest.pack_sequence_as(record, clipped)

  def get_noised_result(self, sample_state, global_state):
    """Returns the noised sum, the unchanged state and the privacy event."""

    def add_noise(tensor):
      noise = tf.random.normal(tf.shape(tensor), dtype=tensor.dtype)
      return tensor + noise * tf.cast(global_state.stddev, tensor.dtype)

    noised = tf.nest.map_structure(add_noise, sample_state)
    event = dp_accounting.GaussianDpEvent(self._stddev / self.sensitivity)
    return noised, global_state, event
