"""Builds a step of gradient descent: loss, gradient and update.

These steps are for training outside of a federated round.  In a round, clients
train by `tff.learning`.
"""

import collections
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from tff_asr.corpora import batching
from tff_asr.learning import speech_model
from tff_asr.models.encoder import Encoder

Update = Callable[[Sequence[tf.Tensor]], None]
"""Changes the weights; its argument has a gradient for each variable."""


def build(
  encoder: Encoder,
  update: Update,
  *,
  gradient_clip: float | None = None,
  mean_loss: tf.keras.metrics.Mean | None = None,
  spec: collections.OrderedDict[str, tf.TensorSpec] = batching.BATCH_SPEC,
) -> Callable[[Mapping[str, tf.Tensor]], None]:
  """Returns the traced training step of an encoder.

  Args:
    encoder: Encoder to train; its variables must exist.
    update: Update of the weights; traced once, within the step.
    gradient_clip: Greatest L2 norm of the whole gradient; `None` for no limit.
    mean_loss: Metric that gets the loss of each step, in nats, before the
      update.  A step that returns its loss compiles to another graph, and its
      results differ in the last bits.
    spec: Type of a batch.

  Returns:
    A function of a batch.
  """
  variables = encoder.trainable_variables

  @tf.function(input_signature=[spec])
  def step(batch):
    with tf.GradientTape() as tape:
      loss = speech_model.batch_loss(encoder, batch, training=True)
    gradients = tape.gradient(loss, variables)
    if gradient_clip is not None:
      gradients, _ = tf.clip_by_global_norm(gradients, gradient_clip)
    update(gradients)
    if mean_loss is not None:
      mean_loss.update_state(loss)

  return step


def sgd(variables: Sequence[tf.Variable], learning_rate: float) -> Update:
  """Returns the update of stochastic gradient descent without momentum."""

  def update(gradients):
    for variable, gradient in zip(variables, gradients, strict=True):
      variable.assign_sub(learning_rate * gradient)

  return update
