"""The Keras encoder as a TFF model: what a client computes on a batch."""

import collections

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.models import ctc, transformer


def batch_loss(
  encoder: transformer.Transformer,
  batch: dict[str, tf.Tensor],
  training: bool,
) -> tf.Tensor:
  """Mean CTC loss of the utterances in a batch, in nats.

  Args:
    encoder: From features to logits.
    batch: Elements as in `batching.BATCH_SPEC`; with those of
      `batching.CLIENT_BATCH_SPEC`, the seed decides all that is left to
      chance.
    training: Whether dropout and random positions are on.
  """
  logits = encoder(
    batch['features'],
    batch['frames'],
    training=training,
    seed=batch.get('seed'),
  )
  losses = ctc.loss(
    logits,
    transformer.output_frames(batch['frames']),
    batch['tokens'],
    batch['token_lengths'],
  )
  return tf.reduce_mean(losses)


class SpeechModel(tff.learning.models.VariableModel):
  """A CTC encoder with its loss.

  The metrics are the mean training loss over batches and the number of
  utterances trained on.  They are sums over the cohort without noise, which a
  private process must not release (`private_process.no_metrics`).
  """

  def __init__(
    self,
    encoder: transformer.Transformer,
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
    return self._encoder(
      batch_input['features'], batch_input['frames'], training=training
    )

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
