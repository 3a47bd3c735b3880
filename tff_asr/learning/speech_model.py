"""The Keras encoder as a TFF model: what a client computes on a batch."""

import collections
from collections.abc import Mapping
import math

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.audio import features
from tff_asr.corpora import utterance
from tff_asr.models import ctc
from tff_asr.models.encoder import Encoder


def outputs(
  encoder: Encoder,
  batch: Mapping[str, tf.Tensor],
  training: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the encoder's logits of a batch and their valid frames.

  Args:
    encoder: From features to logits.
    batch: Elements as in `batching.BATCH_SPEC`; the `seed` of
      `batching.CLIENT_BATCH_SPEC` decides all random numbers.
    training: Whether dropout and random positions are on.

  Returns:
    float32 `[batch, output frames, vocabulary]` and int32 `[batch]`.
  """
  log_mel = batch['features']
  if _is_coarse(encoder):  # Stores may have utterances of fewer frames.
    missing = tf.maximum(encoder.config.stride - tf.shape(log_mel)[1], 0)
    log_mel = tf.pad(log_mel, [[0, 0], [0, missing], [0, 0]])
    log_mel = tf.ensure_shape(log_mel, [None, None, features.MEL_BANDS])
  logits = encoder(
    log_mel, batch['frames'], training=training, seed=batch.get('seed')
  )
  return logits, encoder.config.output_frames(batch['frames'])


def _is_coarse(encoder: Encoder) -> bool:
  """Whether some texts of a store may be longer than the encoder's outputs."""
  return encoder.config.stride > utterance.STRIDE


def utterance_losses(
  encoder: Encoder,
  batch: Mapping[str, tf.Tensor],
  logits: tf.Tensor,
  lengths: tf.Tensor,
  impossible: float = math.inf,
) -> tf.Tensor:
  """Returns the CTC loss of each utterance, float32 `[batch]`, in nats.

  Args:
    encoder: From features to logits.
    batch: As in `outputs`.
    logits: The first result of `outputs`.
    lengths: The second result of `outputs`.
    impossible: Loss of an utterance whose text is longer than its output; such
      an utterance has no gradient.
  """
  tokens, token_lengths = batch['tokens'], batch['token_lengths']
  if not _is_coarse(encoder):
    return ctc.loss(logits, lengths, tokens, token_lengths)
  is_possible = ctc.least_frames(tokens, token_lengths) <= lengths
  # TensorFlow's loss fails on such an utterance: one token on one frame stands
  # in for it.
  losses = ctc.loss(
    logits,
    tf.where(is_possible, lengths, 1),
    tokens,
    tf.where(is_possible, token_lengths, 1),
  )
  return tf.where(is_possible, losses, impossible)


def batch_loss(
  encoder: Encoder,
  batch: dict[str, tf.Tensor],
  training: bool,
) -> tf.Tensor:
  """Returns the mean CTC loss of the utterances in a batch, in nats.

  An utterance whose text is longer than the encoder's output counts as 0.

  Args:
    encoder: From features to logits.
    batch: As in `outputs`.
    training: As in `outputs`.
  """
  logits, lengths = outputs(encoder, batch, training)
  return tf.reduce_mean(
    utterance_losses(encoder, batch, logits, lengths, impossible=0.0)
  )


class SpeechModel(tff.learning.models.VariableModel):
  """A CTC encoder with its loss.

  The metrics are the mean training loss over batches and the number of
  utterances trained on.  They are sums over the cohort without noise, which a
  private process must not release (`private_process.no_metrics`).
  """

  def __init__(
    self,
    encoder: Encoder,
    batch_spec: collections.OrderedDict[str, tf.TensorSpec],
  ):
    self._encoder = encoder
    self._batch_spec = batch_spec
    self._loss_sum, self._batches, self._utterances = (
      tf.Variable(0.0, trainable=False, name=name)
      for name in ('loss_sum', 'batches', 'utterances')
    )

  @property
  def trainable_variables(self):
    return self._encoder.trainable_variables

  @property
  def non_trainable_variables(self):
    return self._encoder.non_trainable_variables

  @property
  def local_variables(self):
    return [self._loss_sum, self._batches, self._utterances]

  @property
  def input_spec(self):
    return self._batch_spec

  def predict_on_batch(self, batch_input, training=True):
    return outputs(self._encoder, batch_input, training)[0]

  def forward_pass(self, batch_input, training=True):
    loss = batch_loss(self._encoder, batch_input, training)
    self._loss_sum.assign_add(loss)
    self._batches.assign_add(1.0)
    utterances = tf.shape(batch_input['frames'])[0]
    self._utterances.assign_add(tf.cast(utterances, tf.float32))
    return tff.learning.models.BatchOutput(
      loss=loss,
      predictions=batch_input['frames'],
      num_examples=utterances,
    )

  def report_local_unfinalized_metrics(self):
    return collections.OrderedDict(
      loss=[self._loss_sum, self._batches], utterances=[self._utterances]
    )

  def metric_finalizers(self):
    return collections.OrderedDict(
      loss=lambda sums: tf.math.divide_no_nan(sums[0], sums[1]),
      utterances=lambda sums: sums[0],
    )

  def reset_metrics(self):
    for variable in self.local_variables:
      variable.assign(0.0)
