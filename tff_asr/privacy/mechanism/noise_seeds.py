"""Seeds of the noise.

The seed of every draw is the exclusive or of a secret, which the operating
system gives each process that builds a mechanism, of numbers that TensorFlow's
runtime takes anew each time it executes the graph, and of the clock.  The
secret makes the seeds unpredictable (the runtime's own numbers start from 32
bits) and keeps processes apart; the runtime's numbers keep apart the rounds and
the tensors of a process; the clock, processes that were forked.  No seed that a
program sets, in TensorFlow or Python, enters.  A seed has 128 bits.
"""

import secrets

import tensorflow as tf


class SeedSource:
  """Gives seeds that are fresh in every execution of a graph."""

  def __init__(self, insecure_seed: int | None = None):
    """Takes a secret from the operating system.

    Args:
      insecure_seed: For debugging: the noise follows from this number and that
        of the draw.  Noise that can be predicted protects nobody.
    """
    self._insecure_seed = insecure_seed
    self._secret = tuple(secrets.randbits(64) - 2**63 for _ in range(2))

  def seeds(self, draw: tf.Tensor, count: int) -> tf.Tensor:
    """Seeds of one draw.

    Args:
      draw: int64 scalar, number of the draw; only an insecure seed needs it.
      count: How many seeds.

    Returns:
      int64 `[count, 2]`.
    """
    if self._insecure_seed is not None:
      return tf.random.stateless_uniform(
        [count, 2],
        seed=tf.stack([tf.constant(self._insecure_seed, tf.int64), draw]),
        minval=None,
        maxval=None,
        dtype=tf.int64,
      )
    fresh = tf.raw_ops.NonDeterministicInts(
      shape=tf.constant([count, 2], tf.int64), dtype=tf.int64
    )
    clock = tf.bitcast(tf.timestamp(), tf.int64)
    secret = tf.constant(self._secret, tf.int64)
    return tf.bitwise.bitwise_xor(
      tf.bitwise.bitwise_xor(fresh, secret), tf.stack([clock, 0])
    )
