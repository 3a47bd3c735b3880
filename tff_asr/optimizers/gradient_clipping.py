"""Gradient clipping as a wrapper of an optimizer."""

from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import tracing


class _GradientClipping(tff.learning.optimizers.Optimizer):
  """An optimizer that clips gradients; see `build_gradient_clipping`."""

  def __init__(
    self, optimizer: tff.learning.optimizers.Optimizer, clip_norm: float
  ):
    if not clip_norm > 0.0:
      raise ValueError(f'`clip_norm={clip_norm}` must be positive.')
    self._optimizer = optimizer
    self._clip_norm = clip_norm

  @tracing.unconverted
  def initialize(self, specs: Any) -> Any:
    return self._optimizer.initialize(specs)

  @tracing.unconverted
  def next(self, state, weights, gradients):
    leaves, _ = tf.clip_by_global_norm(
      tf.nest.flatten(gradients), self._clip_norm
    )
    return self._optimizer.next(
      state, weights, tf.nest.pack_sequence_as(gradients, leaves)
    )

  def get_hparams(self, state):
    return self._optimizer.get_hparams(state)

  @tracing.unconverted
  def set_hparams(self, state, hparams):
    return self._optimizer.set_hparams(state, hparams)


def build_gradient_clipping(
  optimizer: tff.learning.optimizers.Optimizer, clip_norm: float
) -> tff.learning.optimizers.Optimizer:
  """Wraps an optimizer so that no gradient's norm exceeds `clip_norm`.

  The norm is the L2 norm over all tensors together.  Algorithm 1 of Pelikan et
  al. (2025, arXiv 2310.00098) clips in this way at every local step.  If a
  gradient has a NaN or an infinity, all its values become NaN, so that the
  client update rejects the gradient.

  Args:
    optimizer: The optimizer that applies the clipped gradients.
    clip_norm: Greatest L2 norm of a gradient, positive.

  Raises:
    ValueError: If `clip_norm` is not positive.
  """
  return _GradientClipping(optimizer, clip_norm)
