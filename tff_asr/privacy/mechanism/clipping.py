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


def finite_or_zero(
  tensors: Sequence[tf.Tensor],
) -> tuple[list[tf.Tensor], tf.Tensor]:
  """Replaces an update that contains a NaN or an infinity by zeros.

  Returns:
    The tensors or zeros, and a boolean scalar: whether the update is finite.
  """
  finite = tf.reduce_all([_is_finite(t) for t in tensors])
  return [_kept_if(finite, t) for t in tensors], finite


@tracing.once_per_shape
def _is_finite(tensor):
  return tf.reduce_all(tf.math.is_finite(tensor))


@tracing.once_per_shape
def _kept_if(condition, tensor):
  return tf.where(condition, tensor, tf.zeros_like(tensor))


def norms(
  tensors: Sequence[tf.Tensor], groups: grouping.LayerGroups
) -> tf.Tensor:
  """Returns the L2 norms of layer groups, float64 `[H]`, of finite tensors."""
  squares = [_sum_of_squares(t) for t in tensors]
  return tf.sqrt(
    tf.stack(
      [
        tf.add_n([squares[i] for i in groups.tensors_of(group)])
        for group in range(len(groups.names))
      ]
    )
  )


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
) -> list[tf.Tensor]:
  """Scales every tensor by the factor of its group; factors: float64 `[H]`."""
  return [
    _scaled(t, factors[group])
    for t, group in zip(tensors, groups.members, strict=True)
  ]


@tracing.once_per_shape
def _scaled(tensor, factor):
  return tf.cast(tf.cast(tensor, tf.float64) * factor, tensor.dtype)


def scale_to_steps(
  tensors: Sequence[tf.Tensor],
  factors: tf.Tensor,
  steps: tf.Tensor,
  groups: grouping.LayerGroups,
) -> list[tf.Tensor]:
  """Scales every tensor, and counts its coordinates in steps of a grid.

  Args:
    tensors: Tensors of finite floats.
    factors: float64 `[H]`, factor of each group.
    steps: float64 `[H]`, length of a grid step of each group.
    groups: The layer groups of the tensors.

  Returns:
    int64 tensors of steps, rounded towards zero.
  """
  return [
    _in_steps(t, factors[group] / steps[group])
    for t, group in zip(tensors, groups.members, strict=True)
  ]


@tracing.once_per_shape
def _in_steps(tensor, factor):
  return tf.cast(tf.cast(tensor, tf.float64) * factor, tf.int64)
