"""Tempo perturbation: makes utterances faster or slower in training.

This is the speed perturbation of Ko et al. (Interspeech 2015), applied to
features: the frames are interpolated in time, so that the tempo changes but the
pitch does not.
"""

import tensorflow as tf


def perturb(
  features: tf.Tensor,
  max_change: float,
  min_frames: tf.Tensor,
  seed: tf.Tensor,
) -> tf.Tensor:
  """Returns an utterance at a random tempo.

  Args:
    features: float32 `[frames, bands]`, one frame or more.
    max_change: Greatest relative change of the tempo: 0.1 for 0.9 to 1.1.
    min_frames: int32 `[]`, least number of frames of the result; shorter
      `features` do not get shorter.
    seed: int32 or int64 `[2]`, seed of the tempo.

  Returns:
    float32 `[frames at the new tempo, bands]`.
  """
  frames = tf.shape(features)[0]
  tempo = 1.0 + max_change * tf.random.stateless_uniform(
    [], seed, -1.0, 1.0, alg='philox'
  )
  wanted = tf.cast(tf.cast(frames, tf.float32) / tempo, tf.int32)
  wanted = tf.maximum(wanted, tf.minimum(min_frames, frames))
  position = tf.linspace(0.0, tf.cast(frames - 1, tf.float32), wanted)
  before = tf.cast(position, tf.int32)
  after = tf.minimum(before + 1, frames - 1)
  share = (position - tf.floor(position))[:, None]
  return (1.0 - share) * tf.gather(features, before) + share * tf.gather(
    features, after
  )
