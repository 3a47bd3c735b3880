"""Makes a Keras encoder a TFF model: the computation of a client on a batch."""

import collections
from collections.abc import Mapping
import math

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import tracing
from tff_asr.audio import features
from tff_asr.corpora import utterance
from tff_asr.models import ctc
from tff_asr.models.encoder import Encoder


def outputs(
  encoder: Encoder,
  batch: Mapping[str, tf.Tensor],
  training: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the encoder's logits of a batch and their numbers of valid frames.

  Args:
    encoder: Encoder that computes the logits.
    batch: Elements as in `batching.BATCH_SPEC`.  The `seed` of
      `batching.CLIENT_BATCH_SPEC` determines all random numbers.
    training: Whether dropout and random positions are active.

  Returns:
    float32 `[batch, output frames, vocabulary]` and int32 `[batch]`.
  """
  log_mel = batch['features']
  if _is_coarse(encoder):  # Stores may have shorter utterances.
    missing = tf.maximum(encoder.config.stride - tf.shape(log_mel)[1], 0)
    log_mel = tf.pad(log_mel, [[0, 0], [0, missing], [0, 0]])
    log_mel = tf.ensure_shape(log_mel, [None, None, features.MEL_BANDS])
  logits = encoder(
    log_mel, batch['frames'], training=training, seed=batch.get('seed')
  )
  return logits, encoder.config.output_frames(batch['frames'])


def _is_coarse(encoder: Encoder) -> bool:
  """Returns whether a text may need more frames than the encoder's output."""
  return encoder.config.stride > utterance.STRIDE


@tracing.unconverted
def utterance_losses(
  encoder: Encoder,
  batch: Mapping[str, tf.Tensor],
  logits: tf.Tensor,
  lengths: tf.Tensor,
  impossible: float = math.inf,
) -> tf.Tensor:
  """Returns the CTC loss of each utterance, float32 `[batch]`, in nats.

  Args:
    encoder: Encoder that computed the logits.
    batch: As in `outputs`.
    logits: First result of `outputs`.
    lengths: Second result of `outputs`.
    impossible: Loss of an utterance whose text needs more frames than its
      output has.  Such an utterance has no gradient.
  """
  tokens, token_lengths = batch['tokens'], batch['token_lengths']
  if not _is_coarse(encoder):
    return ctc.loss(logits, lengths, tokens, token_lengths)
  is_possible = ctc.least_frames(tokens, token_lengths) <= lengths
  # TensorFlow's loss fails on an utterance with too few frames: one token on
  # one frame replaces the utterance.
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

  The loss is 0 for an utterance whose text needs more frames than its output
  has.

  Args:
    encoder: Encoder that computes the logits.
    batch: As in `outputs`.
    training: As in `outputs`.
  """
  logits, lengths = outputs(encoder, batch, training)
  return tf.reduce_mean(
    utterance_losses(encoder, batch, logits, lengths, impossible=0.0)
  )


class SpeechModel(tff.learning.models.VariableModel):
  """A TFF model of a CTC encoder and its loss.

  The metrics are the mean training loss over batches and the number of training
  utterances.  Both come from sums over the cohort without noise: a private
  process must not release them (`private_process.no_metrics`).
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

  @tracing.unconverted
  def predict_on_batch(self, batch_input, training=True):
    return outputs(self._encoder, batch_input, training)[0]

  @tracing.unconverted
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

  @tracing.unconverted
  def report_local_unfinalized_metrics(self):
    return collections.OrderedDict(
      loss=[self._loss_sum, self._batches], utterances=[self._utterances]
    )

  def metric_finalizers(self):
    return collections.OrderedDict(
      loss=lambda sums: tf.math.divide_no_nan(sums[0], sums[1]),
      utterances=lambda sums: sums[0],
    )

  @tracing.unconverted
  def reset_metrics(self):
    for variable in self.local_variables:
      variable.assign(0.0)
