"""Greedy decoding of batches, in groups of utterances of like lengths."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tff_asr.models import ctc
from tff_asr.text import vocabulary as vocabulary_lib


class Heard(NamedTuple):
  """Most probable tokens of utterances.

  Attributes:
    tokens: int32 ragged `[batch, (tokens)]`.
    starts: int32, of the same shape: the first frame of each.
    ends: int32, of the same shape: the frame after its last.
    log_probabilities: float32, of the same shape: the greatest on its frames.
    frames: int32 `[batch]`, of the utterances.
    blanks: float32 `[batch]`, mean log-probability of the blank on them.
  """

  tokens: tf.RaggedTensor
  starts: tf.RaggedTensor
  ends: tf.RaggedTensor
  log_probabilities: tf.RaggedTensor
  frames: tf.Tensor
  blanks: tf.Tensor


def hear(logits: tf.Tensor, frames: tf.Tensor) -> Heard:
  """Returns what a batch says.

  Args:
    logits: float32 `[batch, frames, vocabulary]`.
    frames: int32 `[batch]`, valid ones.
  """
  blanks = tf.nn.log_softmax(logits)[..., vocabulary_lib.BLANK]
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
  """Returns what groups of utterances say, one group after the other.

  Args:
    groups: int32 `[some]`, the group of each utterance.
    function: From int64 `[n]`, places of the utterances of a group in
      `groups`, to what they say.
    rows: int64 `[some]`, their places in the batch.
    batch: int32 `[]`, size of the batch; of the other utterances there is
      nothing to be heard.
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
  # One without anything behind the others, for those that are in no group.
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
