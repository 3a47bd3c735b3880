"""Greedy decoding of batches, in groups of utterances of similar length."""

from collections.abc import Callable

import tensorflow as tf

from tff_asr.models import ctc


def in_groups(
  groups: tf.Tensor,
  function: Callable[[tf.Tensor], ctc.Hypotheses],
  rows: tf.Tensor,
  batch: tf.Tensor,
) -> ctc.Hypotheses:
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
    hypotheses = function(places)
    found = (
      tf.gather(rows, places),
      tf.cast(hypotheses.tokens.row_lengths(), tf.int64),
      *(ragged.values for ragged in hypotheses[:4]),
      *hypotheses[4:],
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
  return ctc.Hypotheses(
    *(
      tf.gather(
        tf.RaggedTensor.from_row_lengths(of_all, lengths, validate=False), place
      )
      for of_all in values
    ),
    tf.gather(tf.concat([frames, [0]], 0), place),
    tf.gather(tf.concat([blanks, [0.0]], 0), place),
  )
