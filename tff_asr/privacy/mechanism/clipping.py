"""What one client contributes is bounded here and nowhere else.

Norms are taken in float64, in which no finite float32 value overflows.  Where
there is to be noise, a client sends its update in whole steps of a grid,
rounded towards zero, so that rounding makes no coordinate longer.
"""

from collections.abc import Sequence

import tensorflow as tf

from tff_asr import tracing
from tff_asr.privacy.mechanism import grouping

CLIP = 'clip'
NORMALISE = 'normalise'
MODES = (CLIP, NORMALISE)

# Scaling rounds each coordinate by at most one part in 2^24, and the norm of
# 2^28 coordinates is off by at most one in 2^25; the bound is aimed at from
# below by more than both, so that rounding cannot pass it.
_ROUNDING_MARGIN = 1.0 - 2.0**-22


def finite_or_zero(
  tensors: Sequence[tf.Tensor],
) -> tuple[list[tf.Tensor], tf.Tensor]:
  """Puts zeros for an update that has a NaN or an infinity anywhere.

  Returns:
    The tensors or zeros, and whether all is finite, a boolean scalar.
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
  """L2 norms of the layer groups, float64 `[H]`, of finite tensors."""
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
  """By how much each group is scaled so that its norm is at most its bound.

  Definition 3 of Pelikan et al. (2025, arXiv 2310.00098): groups within their
  bounds stay as they are.

  Args:
    layer_norms: float64 `[H]`.
    bounds: float64 `[H]`, C_h.

  Returns:
    float64 `[H]`.
  """
  aims = bounds * _ROUNDING_MARGIN
  return tf.where(layer_norms > aims, aims / layer_norms, 1.0)


def normalise_factors(layer_norms: tf.Tensor, bounds: tf.Tensor) -> tf.Tensor:
  """The scaling in the code published with the paper, for replication.

  An update whose norm over all groups is at most C = sqrt(sum C_h^2) stays as
  it is; in any other every group is scaled, up or down, to exactly C_h.  The
  whole is within C either way, but a group need not be within C_h.

  Args:
    layer_norms: float64 `[H]`.
    bounds: float64 `[H]`, C_h.

  Returns:
    float64 `[H]`.
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
  """Scales every tensor by the factor of its group, float64 `[H]`."""
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
    tensors: Finite floats.
    factors: float64 `[H]`, of each group.
    steps: float64 `[H]`, length of a step of each group.
    groups: The groups.

  Returns:
    int64 tensors, rounded towards zero.
  """
  return [
    _in_steps(t, factors[group] / steps[group])
    for t, group in zip(tensors, groups.members, strict=True)
  ]


@tracing.once_per_shape
def _in_steps(tensor, factor):
  return tf.cast(tf.cast(tensor, tf.float64) * factor, tf.int64)
