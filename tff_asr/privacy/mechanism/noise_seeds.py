"""Gives the seeds of the noise.

The seed of every draw is the exclusive or of three values:

* A secret that the operating system gives to each process that builds a
  mechanism.  It makes the seeds unpredictable (the runtime's own numbers start
  from 32 bits), and different between processes.
* Numbers that TensorFlow's runtime draws again at each execution of the graph.
  They make the seeds of the rounds and of the tensors of a process different.
* The clock.  It makes the seeds of forked processes different.

The seeds do not depend on any seed that a program sets in TensorFlow or Python.
A seed has 128 bits.
"""

import secrets

import tensorflow as tf


class SeedSource:
  """Gives fresh seeds at every execution of a graph."""

  def __init__(self, insecure_seed: int | None = None):
    """Gets a secret from the operating system.

    Args:
      insecure_seed: Seed for debugging: the noise follows from this seed and
        from the number of the draw.  Predictable noise protects nobody.
    """
    self._insecure_seed = insecure_seed
    self._secret = tuple(secrets.randbits(64) - 2**63 for _ in range(2))

  def seeds(self, draw: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the seeds of one draw.

    Args:
      draw: int64 scalar, number of the draw.  Only an insecure seed uses it.
      count: Number of seeds.

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
