"""CTC loss and greedy decoding.

Connectionist temporal classification: Graves et al., ICML 2006.  The blank is
token 0.  Labels go to TensorFlow in sparse form, which is several times faster
on a CPU than the dense form.
"""

import tensorflow as tf

from tff_asr.text import vocabulary


def loss(
  logits: tf.Tensor,
  lengths: tf.Tensor,
  tokens: tf.Tensor,
  token_lengths: tf.Tensor,
) -> tf.Tensor:
  """Negative log-probability of each utterance's tokens.

  Args:
    logits: float32 `[batch, frames, vocabulary]`.
    lengths: int32 `[batch]`, valid frames of `logits`.
    tokens: int32 `[batch, tokens]`, padded.
    token_lengths: int32 `[batch]`, none of them 0.

  Returns:
    float32 `[batch]`, in nats, not divided by the length.
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
    blank_index=vocabulary.BLANK,
  )


def greedy_tokens(logits: tf.Tensor, lengths: tf.Tensor) -> tf.RaggedTensor:
  """Best token of every frame, repeats collapsed, blanks left out.

  Args:
    logits: float32 `[batch, frames, vocabulary]`.
    lengths: int32 `[batch]`, valid frames.

  Returns:
    int32 ragged `[batch, (tokens)]`.
  """
  best = tf.argmax(logits, axis=-1, output_type=tf.int32)
  before = tf.pad(best, [[0, 0], [1, 0]], constant_values=-1)[:, :-1]
  kept = (best != before) & (best != vocabulary.BLANK)
  kept &= tf.sequence_mask(lengths, tf.shape(best)[1])
  return tf.ragged.boolean_mask(best, kept)
