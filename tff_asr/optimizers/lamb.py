"""LAMB: Adam's direction, scaled separately for each tensor (arXiv 1904.00962).

You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76
minutes", ICLR 2020, algorithm 2, with the norm itself as scaling function.
"""

import collections
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import tracing

_HPARAMS = ('learning_rate', 'beta_1', 'beta_2', 'epsilon', 'weight_decay')


class _Lamb(tff.learning.optimizers.Optimizer):
  """LAMB optimizer; see `build_lamb`."""

  def __init__(self, **hparams: float):
    for name in ('learning_rate', 'epsilon', 'weight_decay'):
      if hparams[name] < 0.0:
        raise ValueError(f'LAMB `{name}` must be >= 0, got {hparams[name]}.')
    for name in ('beta_1', 'beta_2'):
      if not 0.0 <= hparams[name] < 1.0:
        raise ValueError(
          f'LAMB `{name}` must be in [0, 1), got {hparams[name]}.'
        )
    self._hparams = hparams

  def initialize(self, specs: Any) -> collections.OrderedDict[str, Any]:
    def zeros():
      return tf.nest.map_structure(lambda s: tf.zeros(s.shape, s.dtype), specs)

    return collections.OrderedDict(
      **{name: self._hparams[name] for name in _HPARAMS},
      step=0,
      first_moment=zeros(),
      second_moment=zeros(),
    )

  @tracing.unconverted
  def next(self, state, weights, gradients):
    step = state['step'] + 1
    hparams = tf.convert_to_tensor([state[name] for name in _HPARAMS])
    updated = [
      _update(hparams, step, *map(tf.convert_to_tensor, leaves))
      for leaves in zip(
        *map(
          tf.nest.flatten,
          (weights, state['first_moment'], state['second_moment'], gradients),
        ),
        strict=True,
      )
    ]
    weights, first, second = (
      tf.nest.pack_sequence_as(weights, [leaf[i] for leaf in updated])
      for i in range(3)
    )
    new_state = collections.OrderedDict(state)
    new_state.update(step=step, first_moment=first, second_moment=second)
    return new_state, weights

  def get_hparams(self, state):
    return collections.OrderedDict((name, state[name]) for name in _HPARAMS)

  def set_hparams(self, state, hparams):
    return tff.structure.update_struct(state, **hparams)


@tracing.once_per_shape
def _update(hparams, step, w, m, v, g):
  """Returns a tensor of weights and its moments after the step."""
  learning_rate, beta_1, beta_2, epsilon, decay = tf.unstack(
    tf.cast(hparams, w.dtype)
  )
  t = tf.cast(step, w.dtype)
  m = beta_1 * m + (1.0 - beta_1) * g
  v = beta_2 * v + (1.0 - beta_2) * tf.square(g)
  direction = m / (1.0 - tf.pow(beta_1, t))
  direction /= tf.sqrt(v / (1.0 - tf.pow(beta_2, t))) + epsilon
  direction += decay * w
  return w - learning_rate * _trust_ratio(w, direction) * direction, m, v


def _trust_ratio(weight: tf.Tensor, direction: tf.Tensor) -> tf.Tensor:
  """Returns ||weight|| / ||direction||, or 1 if either norm is zero."""
  weight_norm, direction_norm = tf.norm(weight), tf.norm(direction)
  return tf.where(
    (weight_norm > 0.0) & (direction_norm > 0.0),
    weight_norm / tf.where(direction_norm > 0.0, direction_norm, 1.0),
    1.0,
  )


def build_lamb(
  learning_rate: float,
  beta_1: float = 0.9,
  beta_2: float = 0.999,
  epsilon: float = 1e-6,
  weight_decay: float = 0.0,
) -> tff.learning.optimizers.Optimizer:
  """Returns a `tff.learning.optimizers.Optimizer` for LAMB.

  With gradient `g` and step `t`, each weight tensor `w` is updated by

  ```
  m = beta_1 * m + (1 - beta_1) * g
  v = beta_2 * v + (1 - beta_2) * g**2
  u = (m / (1 - beta_1**t)) / (sqrt(v / (1 - beta_2**t)) + epsilon)
  u = u + weight_decay * w
  w = w - learning_rate * ||w|| / ||u|| * u
  ```

  where the trust ratio `||w|| / ||u||` is 1 if either norm is zero.  The
  defaults are the values of Pelikan et al. (2025, arXiv 2310.00098), who use
  LAMB at the server with learning rates of 0.001 to 0.009.

  Args:
    learning_rate: Step length, relative to the norm of each tensor.
    beta_1: Decay of the first moment, in [0, 1).
    beta_2: Decay of the second moment, in [0, 1).
    epsilon: Constant added to the root of the second moment.
    weight_decay: Factor of the decay term.

  Raises:
    ValueError: If an argument is out of its range.
  """
  return _Lamb(
    learning_rate=learning_rate,
    beta_1=beta_1,
    beta_2=beta_2,
    epsilon=epsilon,
    weight_decay=weight_decay,
  )
