"""Clips client updates; no other module bounds the contribution of a client.

Norms are computed in float64, where no finite float32 value overflows.  If the
query adds noise, a client sends its update in whole steps of a grid, rounded
towards zero.  So rounding never makes a coordinate longer.
"""

from collections.abc import Sequence

import tensorflow as tf

from tff_asr import tracing
from tff_asr.privacy.mechanism import grouping

CLIP = 'clip'
NORMALISE = 'normalise'
MODES = (CLIP, NORMALISE)

# Scaling rounds each coordinate by at most one part in 2^24.  The norm of 2^28
# coordinates is wrong by at most one part in 2^25.  The target is below the
# bound by more than both, so that rounding cannot exceed the bound.
_ROUNDING_MARGIN = 1.0 - 2.0**-22


def norms(
  tensors: Sequence[tf.Tensor], groups: grouping.LayerGroups
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the L2 norms of layer groups, and whether an update is finite.

  Returns:
    float64 `[H]`, zeros if the update has a NaN or an infinity; and a boolean
    scalar: whether the update has neither.
  """
  # A sum of squares of float32 values is finite if and only if all are.
  squares = tracing.for_each(_sum_of_squares, tensors)
  finite = tf.reduce_all(tf.math.is_finite(tf.stack(squares)))
  found = tf.sqrt(
    tf.stack(
      [
        tf.add_n([squares[i] for i in groups.tensors_of(group)])
        for group in range(len(groups.names))
      ]
    )
  )
  return tf.where(finite, found, tf.zeros_like(found)), finite


@tracing.once_per_shape
def _sum_of_squares(tensor):
  return tf.reduce_sum(tf.square(tf.cast(tensor, tf.float64)))


def clip_factors(layer_norms: tf.Tensor, bounds: tf.Tensor) -> tf.Tensor:
  """Returns the factor that scales the norm of each group to its bound.

  Definition 3 of Pelikan et al. (2025, arXiv 2310.00098).  The scaled norm of a
  group is at most its bound.  Groups within their bounds do not change.

  Args:
    layer_norms: float64 `[H]`, norms of the groups.
    bounds: float64 `[H]`, bounds C_h of the groups.

  Returns:
    float64 `[H]`, factors of the groups.
  """
  aims = bounds * _ROUNDING_MARGIN
  return tf.where(layer_norms > aims, aims / layer_norms, 1.0)


def normalise_factors(layer_norms: tf.Tensor, bounds: tf.Tensor) -> tf.Tensor:
  """Returns the factors of the code published with the paper, for replication.

  An update whose norm over all groups is at most C = sqrt(sum C_h^2) does not
  change.  In any other update every group is scaled, up or down, to exactly
  C_h.  In both cases the whole update is within C, but a group may exceed C_h.

  Args:
    layer_norms: float64 `[H]`, norms of the groups.
    bounds: float64 `[H]`, bounds C_h of the groups.

  Returns:
    float64 `[H]`, factors of the groups.
  """
  within = tf.norm(layer_norms) <= tf.norm(bounds) * _ROUNDING_MARGIN
  scaled = tf.math.divide_no_nan(bounds * _ROUNDING_MARGIN, layer_norms)
  return tf.where(within, tf.ones_like(scaled), scaled)


FACTORS = {CLIP: clip_factors, NORMALISE: normalise_factors}


def scale(
  tensors: Sequence[tf.Tensor],
  factors: tf.Tensor,
  groups: grouping.LayerGroups,
  finite: tf.Tensor,
) -> list[tf.Tensor]:
  """Scales every tensor by the factor of its group.

  Args:
    tensors: Tensors of floats.
    factors: float64 `[H]`, factor of each group.
    groups: The layer groups of the tensors.
    finite: Boolean scalar; if false, all results are zeros.
  """
  of_tensors = tf.gather(factors, groups.members)
  return tracing.for_each(
    _scaled, tensors, tf.unstack(of_tensors), [finite] * len(tensors)
  )


@tracing.once_per_shape
def _scaled(tensor, factor, finite):
  tensor = _kept_if(finite, tensor)
  return tf.cast(tf.cast(tensor, tf.float64) * factor, tensor.dtype)


def scale_to_steps(
  tensors: Sequence[tf.Tensor],
  factors: tf.Tensor,
  steps: tf.Tensor,
  groups: grouping.LayerGroups,
  finite: tf.Tensor,
) -> list[tf.Tensor]:
  """Scales every tensor, and counts its coordinates in steps of a grid.

  Args:
    tensors: Tensors of floats.
    factors: float64 `[H]`, factor of each group.
    steps: float64 `[H]`, length of a grid step of each group.
    groups: The layer groups of the tensors.
    finite: Boolean scalar; if false, all results are zeros.

  Returns:
    int64 tensors of steps, rounded towards zero.
  """
  of_tensors = tf.gather(factors / steps, groups.members)
  return tracing.for_each(
    _in_steps, tensors, tf.unstack(of_tensors), [finite] * len(tensors)
  )


@tracing.once_per_shape
def _in_steps(tensor, factor, finite):
  tensor = _kept_if(finite, tensor)
  return tf.cast(tf.cast(tensor, tf.float64) * factor, tf.int64)


def _kept_if(condition, tensor):
  return tf.where(condition, tensor, tf.zeros([], tensor.dtype))
