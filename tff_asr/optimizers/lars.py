"""LARS: momentum with a learning rate for each tensor (arXiv 1708.03888).

You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", 2017,
algorithm 1.
"""

import collections
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import tracing

_HPARAMS = (
  'learning_rate',
  'momentum',
  'trust_coefficient',
  'weight_decay',
  'epsilon',
)


class _Lars(tff.learning.optimizers.Optimizer):
  """LARS optimizer; see `build_lars`."""

  def __init__(self, **hparams: float):
    for name in ('learning_rate', 'weight_decay', 'epsilon'):
      if not hparams[name] >= 0.0:
        raise ValueError(f'LARS `{name}` must be >= 0, got {hparams[name]}.')
    if not hparams['trust_coefficient'] > 0.0:
      raise ValueError(
        'LARS `trust_coefficient` must be > 0, got'
        f' {hparams["trust_coefficient"]}.'
      )
    if not 0.0 <= hparams['momentum'] < 1.0:
      raise ValueError(
        f'LARS `momentum` must be in [0, 1), got {hparams["momentum"]}.'
      )
    self._hparams = hparams

  def initialize(self, specs: Any) -> collections.OrderedDict[str, Any]:
    return collections.OrderedDict(
      **{name: self._hparams[name] for name in _HPARAMS},
      velocity=tf.nest.map_structure(
        lambda s: tf.zeros(s.shape, s.dtype), specs
      ),
    )

  @tracing.unconverted
  def next(self, state, weights, gradients):
    hparams = tf.convert_to_tensor([state[name] for name in _HPARAMS])
    updated = [
      _update(hparams, *map(tf.convert_to_tensor, leaves))
      for leaves in zip(
        *map(tf.nest.flatten, (weights, state['velocity'], gradients)),
        strict=True,
      )
    ]
    weights, velocity = (
      tf.nest.pack_sequence_as(weights, [leaf[i] for leaf in updated])
      for i in range(2)
    )
    new_state = collections.OrderedDict(state)
    new_state.update(velocity=velocity)
    return new_state, weights

  def get_hparams(self, state):
    return collections.OrderedDict((name, state[name]) for name in _HPARAMS)

  def set_hparams(self, state, hparams):
    return tff.structure.update_struct(state, **hparams)


@tracing.once_per_shape
def _update(hparams, w, v, g):
  """Returns a tensor of weights and its velocity after the step."""
  learning_rate, momentum, trust, decay, epsilon = tf.unstack(
    tf.cast(hparams, w.dtype)
  )
  weight_norm = tf.norm(w)
  length = tf.norm(g) + decay * weight_norm
  ratio = tf.where(
    (weight_norm > 0.0) & (length > 0.0),
    trust * weight_norm / tf.where(length > 0.0, length + epsilon, 1.0),
    1.0,
  )
  v = momentum * v + learning_rate * ratio * (g + decay * w)
  return w - v, v


def build_lars(
  learning_rate: float,
  momentum: float = 0.9,
  trust_coefficient: float = 0.001,
  weight_decay: float = 0.0,
  epsilon: float = 1e-6,
) -> tff.learning.optimizers.Optimizer:
  """Returns a `tff.learning.optimizers.Optimizer` for LARS.

  With gradient `g`, each weight tensor `w` is updated by

  ```
  ratio = trust_coefficient * ||w|| / (||g|| + weight_decay * ||w|| + epsilon)
  v = momentum * v + learning_rate * ratio * (g + weight_decay * w)
  w = w - v
  ```

  where `ratio` is 1 if `||w||` or the denominator without `epsilon` is zero, as
  in Optax.  The defaults are the values of Pelikan et al. (2025, arXiv
  2310.00098), who use LARS in central training with learning rates of 0.2 and
  0.5, and at the server with learning rates of 0.7 to 3.4.

  Args:
    learning_rate: Step length; a step changes a tensor by about
      `learning_rate * trust_coefficient` times the tensor's norm.
    momentum: Decay of the velocity, in [0, 1).
    trust_coefficient: Factor of each tensor's learning rate, positive.
    weight_decay: Factor of the decay term.
    epsilon: Constant added to the norm of the gradient; absent in the article,
      but present in the code published with Pelikan et al.

  Raises:
    ValueError: If an argument is out of its range.
  """
  return _Lars(
    learning_rate=learning_rate,
    momentum=momentum,
    trust_coefficient=trust_coefficient,
    weight_decay=weight_decay,
    epsilon=epsilon,
  )
