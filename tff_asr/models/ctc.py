"""Computes the CTC loss and decodes greedily.

Connectionist temporal classification (CTC) is by Graves et al., ICML 2006.  The
blank is token 0.  TensorFlow gets the labels in sparse form, which is several
times faster on a CPU than the dense form.

`ctc_forward_backward.loss` is the same loss for XLA, TensorFlow Lite and second
derivatives, which TensorFlow's kernel does not have.
"""

from typing import NamedTuple

import tensorflow as tf

from tff_asr import tracing
from tff_asr.text import vocabularies


@tracing.unconverted
def loss(
  logits: tf.Tensor,
  lengths: tf.Tensor,
  tokens: tf.Tensor,
  token_lengths: tf.Tensor,
) -> tf.Tensor:
  """Returns the negative log-probability of each utterance's tokens.

  Args:
    logits: float32 `[batch, frames, vocabulary]`.
    lengths: int32 `[batch]`, numbers of valid frames of `logits`.
    tokens: int32 `[batch, tokens]`, padded.
    token_lengths: int32 `[batch]`, numbers of tokens, 1 or more.

  Returns:
    float32 `[batch]`, in nats, not divided by the number of tokens or frames.
  """
  present = tf.sequence_mask(token_lengths, tf.shape(tokens)[1])
  indices = tf.where(present)
  labels = tf.SparseTensor(
    indices,
    tf.gather_nd(tokens, indices),
    tf.shape(tokens, out_type=tf.int64),
  )
  return tf.nn.ctc_loss(
    labels=labels,
    logits=tf.transpose(logits, [1, 0, 2]),
    label_length=None,
    logit_length=lengths,
    blank_index=vocabularies.BLANK,
  )


def least_frames(tokens: tf.Tensor, token_lengths: tf.Tensor) -> tf.Tensor:
  """Returns the least number of output frames for each utterance's tokens.

  Args:
    tokens: int32 `[batch, tokens]`, padded.
    token_lengths: int32 `[batch]`, numbers of tokens.

  Returns:
    int32 `[batch]`, `vocabularies.ctc_frames` of each utterance.
  """
  is_repeat = tf.equal(tokens[:, 1:], tokens[:, :-1])
  is_pair = tf.sequence_mask(token_lengths - 1, tf.shape(tokens)[1] - 1)
  repeats = tf.math.count_nonzero(is_repeat & is_pair, axis=1, dtype=tf.int32)
  return token_lengths + repeats


class Hypotheses(NamedTuple):
  """Hypotheses of greedy decoding: the most probable tokens of utterances.

  Repeats on adjacent frames are one token, and blanks are left out.

  Attributes:
    tokens: int32 ragged `[batch, (tokens)]`.
    starts: First frame of each token, int32, the shape of `tokens`.
    ends: Frame after the last frame of each token, int32, the same shape.
    log_probabilities: Greatest log-probability of each token over its frames,
      float32, the same shape.
    frames: Number of valid frames of each utterance, int32 `[batch]`.
    blanks: Mean log-probability of the blank over these frames, float32
      `[batch]`; 0 without frames.
  """

  tokens: tf.RaggedTensor
  starts: tf.RaggedTensor
  ends: tf.RaggedTensor
  log_probabilities: tf.RaggedTensor
  frames: tf.Tensor
  blanks: tf.Tensor


@tracing.unconverted
def greedy_decode(logits: tf.Tensor, lengths: tf.Tensor) -> Hypotheses:
  """Returns the hypotheses of greedy decoding.

  Args:
    logits: float32 `[batch, frames, vocabulary]`.
    lengths: int32 `[batch]`, numbers of valid frames.
  """
  best = tf.argmax(logits, axis=-1, output_type=tf.int32)
  batch, frames = tf.unstack(tf.shape(best))
  present = tf.sequence_mask(lengths, frames)
  best = tf.where(present, best, vocabularies.BLANK)
  before = tf.pad(best, [[0, 0], [1, 0]], constant_values=-1)[:, :-1]
  # Each run of equal tokens gets a number, unique in the batch.
  run = tf.cumsum(tf.cast(tf.reshape(best != before, [-1]), tf.int32)) - 1
  log_probabilities = tf.nn.log_softmax(logits)
  score = tf.reduce_max(log_probabilities, axis=-1)
  frame = tf.tile(tf.range(frames)[None], [batch, 1])
  row = tf.tile(tf.range(batch)[:, None], [1, frames])
  first, last, of_run, score, row = (
    segment(tf.reshape(values, [-1]), run)
    for segment, values in (
      (tf.math.segment_min, frame),
      (tf.math.segment_max, frame),
      (tf.math.segment_max, best),
      (tf.math.segment_max, score),
      (tf.math.segment_min, row),
    )
  )
  kept = tf.not_equal(of_run, vocabularies.BLANK)
  row = tf.boolean_mask(row, kept)
  blanks = log_probabilities[..., vocabularies.BLANK] * tf.cast(
    present, tf.float32
  )
  number = tf.maximum(tf.cast(lengths, tf.float32), 1.0)
  return Hypotheses(
    *(
      tf.RaggedTensor.from_value_rowids(
        tf.boolean_mask(values, kept), row, nrows=batch, validate=False
      )
      for values in (of_run, first, last + 1, score)
    ),
    lengths,
    tf.reduce_sum(blanks, axis=1) / number,
  )


def greedy_tokens(logits: tf.Tensor, lengths: tf.Tensor) -> tf.RaggedTensor:
  """Returns the tokens of `greedy_decode`, int32 ragged `[batch, (tokens)]`."""
  return greedy_decode(logits, lengths).tokens
