"""Computes the CTC loss in plain operations: the forward-backward algorithm.

`tf.nn.ctc_loss` is one kernel without a second derivative.  Neither XLA nor
TensorFlow Lite can run that kernel.  The loss of this module has a second
derivative, and only operations that both can run.

The states of an utterance are its tokens with a blank before, between and after
them (Graves et al., ICML 2006).  The forward variable of a state at a frame is
the log-probability of all paths to the state over the frames before.  The
backward variable is the log-probability of all paths from the state over the
frames after.  Backward variables
are the forward variables of reversed frames and states, so that one loop over
the frames computes both.  At each frame the largest forward variable is
subtracted from all, so that long utterances lose no accuracy.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tff_asr import tracing
from tff_asr.text import vocabularies

# Log-probability of an impossible path.  Sums of this number stay finite.
_IMPOSSIBLE = -1e30


@tracing.unconverted
def loss(
  logits: tf.Tensor,
  lengths: tf.Tensor,
  tokens: tf.Tensor,
  token_lengths: tf.Tensor,
) -> tf.Tensor:
  """Returns the negative log-probability of each utterance's tokens.

  Values of padded frames and tokens are ignored, even if they are not finite.

  Args:
    logits: float32 or float64 `[batch, frames, vocabulary]`, with 1 or more
      frames.  A logit may be minus infinity.
    lengths: int32 `[batch]`, numbers of valid frames of `logits`.
    tokens: int32 `[batch, tokens]`, padded.
    token_lengths: int32 `[batch]`, numbers of tokens.

  Returns:
    `[batch]`, the type of `logits`, in nats, not divided by the number of
    tokens or frames.  The loss of tokens that the frames cannot have is
    infinite, and its gradient is 0.
  """
  logits = tf.convert_to_tensor(logits)
  if logits.dtype not in (tf.float32, tf.float64):
    raise TypeError(
      f'Logits of the CTC loss are {logits.dtype.name}: cast them to float32.'
    )
  lengths, tokens, token_lengths = (
    tf.convert_to_tensor(x, tf.int32) for x in (lengths, tokens, token_lengths)
  )

  @tf.custom_gradient
  def of_logits(logits):
    losses, gradients = _losses_and_gradients(
      logits, lengths, _States.of(tokens, token_lengths, tf.shape(logits)[2])
    )
    return losses, lambda upstream: upstream[:, None, None] * gradients

  return of_logits(logits)


class _States(NamedTuple):
  """The states of utterances: tokens with blanks around them, in their order.

  Attributes:
    tokens: Token of each state, int32 `[batch, states]`; the size of the
      vocabulary for a padded state.
    is_first: Whether a path may begin in the state, bool `[batch, states]`.
    is_last: Whether a path may end in the state, bool `[batch, states]`.
  """

  tokens: tf.Tensor
  is_first: tf.Tensor
  is_last: tf.Tensor

  @classmethod
  def of(
    cls, tokens: tf.Tensor, token_lengths: tf.Tensor, vocabulary: tf.Tensor
  ) -> '_States':
    """Returns the states of padded tokens; see `loss`."""
    batch, length = tf.unstack(tf.shape(tokens))
    blanks = tf.fill([batch, length], vocabularies.BLANK)
    both = tf.reshape(tf.stack([blanks, tokens], axis=2), [batch, 2 * length])
    both = tf.pad(both, [[0, 0], [0, 1]], constant_values=vocabularies.BLANK)
    state = tf.range(2 * length + 1)[None]
    last = 2 * token_lengths[:, None]
    return cls(
      tf.where(state <= last, both, vocabulary),
      tf.broadcast_to(state < 2, tf.shape(both)),
      (state <= last) & (state >= last - 1),
    )

  def reversed(self) -> '_States':
    """Returns the states from the last to the first."""
    tokens, is_first, is_last = (tf.reverse(x, [1]) for x in self)
    return _States(tokens, is_last, is_first)


def _losses_and_gradients(
  logits: tf.Tensor, lengths: tf.Tensor, states: _States
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the losses `[batch]` and their gradients by the logits."""
  batch, frames, vocabulary = tf.unstack(tf.shape(logits))
  is_padded = tf.range(frames)[:, None] >= lengths[:, None, None]
  log_probabilities = tf.nn.log_softmax(
    tf.where(is_padded, tf.zeros_like(logits), logits)
  )
  paths, subtracted = _paths(log_probabilities, lengths, states)
  losses = -tf.reduce_logsumexp(paths[:, 0], axis=1) - subtracted
  gradients = tf.exp(log_probabilities) - _by_token(
    tf.nn.softmax(paths), states.tokens, vocabulary
  )
  is_impossible = (losses > -0.1 * _IMPOSSIBLE) | (lengths < 1)
  infinity = tf.constant(math.inf, losses.dtype)
  return (
    tf.where(is_impossible, infinity, losses),
    tf.where(
      is_padded | tf.reshape(is_impossible, [batch, 1, 1]),
      tf.zeros_like(gradients),
      gradients,
    ),
  )


def _paths(
  log_probabilities: tf.Tensor, lengths: tf.Tensor, states: _States
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the log-probability of all paths through a state at a frame.

  Args:
    log_probabilities: `[batch, frames, vocabulary]`.
    lengths: int32 `[batch]`, numbers of valid frames.
    states: The states.

  Returns:
    `[batch, frames, states]`, less a number for each frame, and this number for
    the first frame, `[batch]`.
  """
  batch, frames, _ = tf.unstack(tf.shape(log_probabilities))
  # Frames from the last valid one to the first, then padded frames.
  backwards = (lengths[:, None] - 1 - tf.range(frames)) % frames
  reversed_frames = tf.gather(log_probabilities, backwards, batch_dims=1)
  both_states = _States(
    *(tf.concat(x, axis=0) for x in zip(states, states.reversed(), strict=True))
  )
  of_states = _of_states(
    tf.concat([log_probabilities, reversed_frames], axis=0), both_states.tokens
  )
  before = _log_probabilities_before(of_states, both_states)
  with_frame = before + of_states
  forward = tf.transpose(with_frame[..., :batch], [2, 0, 1])
  backward = tf.transpose(tf.reverse(before[..., batch:], [1]), [2, 0, 1])
  largest = tf.transpose(tf.reduce_max(with_frame[..., batch:], axis=1))
  is_later = tf.range(frames) < lengths[:, None] - 1
  return (
    forward + tf.gather(backward, backwards, batch_dims=1),
    tf.reduce_sum(tf.where(is_later, largest, tf.zeros_like(largest)), axis=1),
  )


def _of_states(log_probabilities: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
  """Returns the log-probability of each state's token.

  Args:
    log_probabilities: `[batch, frames, vocabulary]`.
    tokens: As in `_States`.

  Returns:
    `[frames, states, batch]`.
  """
  batch, frames, vocabulary = tf.unstack(tf.shape(log_probabilities))
  impossible = tf.constant(_IMPOSSIBLE, log_probabilities.dtype)
  # Not the maximum, which may hide a value that is not a number.
  values = tf.where(
    log_probabilities < impossible, impossible, log_probabilities
  )
  values = tf.pad(values, [[0, 0], [0, 0], [0, 1]], constant_values=_IMPOSSIBLE)
  values = tf.reshape(
    tf.transpose(values, [1, 0, 2]), [frames, batch * (vocabulary + 1)]
  )
  columns = tf.transpose(tokens) + tf.range(batch) * (vocabulary + 1)
  return tf.gather(values, columns, axis=1)


def _log_probabilities_before(
  of_states: tf.Tensor, states: _States
) -> tf.Tensor:
  """Returns the log-probability of all paths to a state, before its frame.

  Args:
    of_states: Log-probability of each state's token, `[frames, states, batch]`.
    states: The states.

  Returns:
    `[frames, states, batch]`, less a number for each frame: after a frame, the
    largest of all states is 0.
  """
  frames, length, batch = tf.unstack(tf.shape(of_states))
  zero, impossible = (
    tf.constant(x, of_states.dtype) for x in (0.0, _IMPOSSIBLE)
  )
  # A path stays, goes to the next state, or skips the blank between tokens that
  # differ.  States of the same token, and so blanks, are never two apart.
  state = tf.range(length)
  tokens = tf.transpose(states.tokens)
  skips = tf.where(tokens[2:] != tokens[:-2], zero, impossible)
  skips = tf.pad(skips, [[2, 0], [0, 0]], constant_values=_IMPOSSIBLE)[:length]
  nexts = tf.where(state[:, None] > 0, zero, impossible)
  steps = tf.stack(
    [tf.zeros_like(skips), tf.broadcast_to(nexts, [length, batch]), skips]
  )
  sources = tf.maximum(tf.stack([state, state - 1, state - 2]), 0)
  start = tf.where(tf.transpose(states.is_first), zero, impossible)

  def step(frame, before, results):
    after = before + of_frames.read(frame)
    results = results.write(frame, before)
    after -= tf.stop_gradient(tf.reduce_max(after, axis=0))
    terms = tf.gather(after, sources) + steps
    largest = tf.stop_gradient(tf.reduce_max(terms, axis=0))
    total = tf.reduce_sum(tf.exp(terms - largest), axis=0)
    return frame + 1, largest + tf.math.log(total), results

  # A frame is read before its result replaces it.  The loop reads the array at
  # its start: XLA would copy an array that it reads and writes at each frame.
  # XLA also needs the number of iterations, for the second derivative.
  of_frames = tf.TensorArray(
    of_states.dtype, frames, clear_after_read=False
  ).unstack(of_states)
  *_, results = tf.while_loop(
    lambda *_: True, step, (0, start, of_frames), maximum_iterations=frames
  )
  return tf.ensure_shape(results.stack(), [None, None, None])


def _by_token(
  posteriors: tf.Tensor, tokens: tf.Tensor, vocabulary: tf.Tensor
) -> tf.Tensor:
  """Returns the sum of the posteriors of each token's states.

  Args:
    posteriors: `[batch, frames, states]`.
    tokens: As in `_States`.
    vocabulary: Size of the vocabulary.

  Returns:
    `[batch, frames, vocabulary]`.
  """
  of_tokens = tf.matmul(
    posteriors[..., 1::2],
    tf.one_hot(tokens[:, 1::2], vocabulary, dtype=posteriors.dtype),
  )
  of_blank = tf.reduce_sum(posteriors[..., ::2], axis=2, keepdims=True)
  blank = tf.one_hot(vocabularies.BLANK, vocabulary, dtype=posteriors.dtype)
  return of_tokens + of_blank * blank
