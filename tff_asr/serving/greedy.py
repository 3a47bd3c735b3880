"""Greedy decoding of batches, in groups of utterances of similar length."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tff_asr.models import ctc
from tff_asr.text import vocabularies


class Heard(NamedTuple):
  """Hypotheses: the most probable tokens of utterances.

  Attributes:
    tokens: int32 ragged `[batch, (tokens)]`.
    starts: First frame of each token, int32, the shape of `tokens`.
    ends: Frame after the last frame of each token, int32, the same shape.
    log_probabilities: Greatest log-probability of each token over its frames,
      float32, the same shape.
    frames: Number of frames of each utterance, int32 `[batch]`.
    blanks: Mean log-probability of the blank over these frames, float32
      `[batch]`.
  """

  tokens: tf.RaggedTensor
  starts: tf.RaggedTensor
  ends: tf.RaggedTensor
  log_probabilities: tf.RaggedTensor
  frames: tf.Tensor
  blanks: tf.Tensor


def hear(logits: tf.Tensor, frames: tf.Tensor) -> Heard:
  """Returns the hypotheses of a batch.

  Args:
    logits: float32 `[batch, frames, vocabulary]`.
    frames: int32 `[batch]`, number of valid frames.
  """
  blanks = tf.nn.log_softmax(logits)[..., vocabularies.BLANK]
  present = tf.sequence_mask(frames, tf.shape(logits)[1], tf.float32)
  number = tf.maximum(tf.cast(frames, tf.float32), 1.0)
  return Heard(
    *ctc.greedy_runs(logits, frames),
    frames,
    tf.reduce_sum(blanks * present, axis=1) / number,
  )


def in_groups(
  groups: tf.Tensor,
  function: Callable[[tf.Tensor], Heard],
  rows: tf.Tensor,
  batch: tf.Tensor,
) -> Heard:
  """Returns the hypotheses of a batch, decoded one group after the other.

  Args:
    groups: int32 `[some]`, the group of each utterance.
    function: Returns the hypotheses of a group from int64 `[n]`, the indices of
      the group's utterances in `groups`.
    rows: int64 `[some]`, the index of each utterance in the batch.
    batch: int32 `[]`, size of the batch.  Utterances of the batch without a
      group get empty hypotheses with no frames.
  """
  different, _ = tf.unique(groups)
  count = tf.size(different)
  types = [tf.int64, tf.int64, *[tf.int32] * 3, tf.float32, tf.int32]
  parts = [
    tf.TensorArray(dtype, count, element_shape=[None], infer_shape=False)
    for dtype in (*types, tf.float32)
  ]

  def step(i, *parts):
    places = tf.where(tf.equal(groups, different[i]))[:, 0]
    heard = function(places)
    found = (
      tf.gather(rows, places),
      tf.cast(heard.tokens.row_lengths(), tf.int64),
      *(ragged.values for ragged in heard[:4]),
      *heard[4:],
    )
    return i + 1, *(a.write(i, b) for a, b in zip(parts, found, strict=True))

  _, *parts = tf.while_loop(
    lambda i, *_: i < count, step, (0, *parts), parallel_iterations=1
  )
  order, lengths, *values, frames, blanks = (part.concat() for part in parts)
  # Utterances without a group take an empty hypothesis, which follows the
  # others.
  some = tf.size(order)
  place = tf.tensor_scatter_nd_update(
    tf.fill([batch], some), order[:, None], tf.range(some)
  )
  lengths = tf.concat([lengths, [0]], 0)
  return Heard(
    *(
      tf.gather(
        tf.RaggedTensor.from_row_lengths(of_all, lengths, validate=False), place
      )
      for of_all in values
    ),
    tf.gather(tf.concat([frames, [0]], 0), place),
    tf.gather(tf.concat([blanks, [0.0]], 0), place),
  )
