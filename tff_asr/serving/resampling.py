"""Resampling to 16 kHz inside a graph, from any rate."""

import math

import tensorflow as tf

from tff_asr.audio import features

_ZERO_CROSSINGS = 80  # Of the filter, to either side.
# Half at this share of the highest frequency; all at 0.91, as training has it.
_ROLL_OFF = 0.9565
# Of Blackman and Harris: sidelobes 92 dB down.
_WINDOW = (0.35875, 0.48829, 0.14128, 0.01168)
_MAX_UP = 1_600
_MAX_DOWN = 1_000  # Time and memory grow with the product of the two.


def resample(waveform: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
  """Returns a waveform at 16 kHz.

  A sinc of finite length, as one matrix that is applied to overlapping pieces.
  Exact for the rates that are in use; others, whose ratio to 16 kHz takes large
  numbers, are taken as one less than 0.2 % beside them.

  Args:
    waveform: float32 `[samples]`.
    rate: int32 `[]`, samples per second, positive.

  Returns:
    float32 `[samples * 16000 / rate]`, rounded up.
  """
  up, down = _ratio(rate)
  stretch = tf.maximum(down / up, 1.0)  # Of the filter, where rates go down.
  side = tf.cast(tf.math.ceil(_ZERO_CROSSINGS * stretch / _ROLL_OFF), tf.int32)
  # Pieces are long beside their overlap.
  pieces_up, pieces_down = (n * (4 * side // down + 1) for n in (up, down))
  length = pieces_down + 2 * side
  position = tf.range(length)[:, None] - side
  time = tf.range(pieces_up)[None] * down
  distance = tf.cast(position * up - time, tf.float64) / tf.cast(up, tf.float64)
  matrix = tf.cast(_filter(distance, stretch), tf.float32)
  samples = tf.size(waveform)
  count = -(-samples // pieces_down)
  behind = count * pieces_down - samples + side
  padded = tf.pad(waveform, [[side, behind]])
  pieces = tf.signal.frame(padded, length, pieces_down)[:count]
  wanted = tf.cast(
    -(
      -tf.cast(samples, tf.int64)
      * tf.cast(up, tf.int64)
      // tf.cast(down, tf.int64)
    ),
    tf.int32,
  )
  return tf.reshape(pieces @ matrix, [-1])[:wanted]


def _ratio(rate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Small integers, the first over the second nearest to 16 kHz over `rate`."""
  up = tf.range(1, _MAX_UP + 1)
  exact = tf.cast(rate, tf.float64) / features.SAMPLE_RATE
  down = tf.round(tf.cast(up, tf.float64) * exact)
  off = tf.abs(down / tf.cast(up, tf.float64) - exact)
  off += tf.where(down > _MAX_DOWN, exact, 0.0)
  # Rounding is not to prefer 320 over 160.
  best = tf.argmax(off <= tf.reduce_min(off) + 1e-12)
  return up[best], tf.maximum(tf.cast(down[best], tf.int32), 1)


def _filter(distance: tf.Tensor, stretch: tf.Tensor) -> tf.Tensor:
  """Impulse response at distances in samples of the input, float64."""
  scaled = distance * (_ROLL_OFF / stretch)
  turns = scaled * math.pi
  safe = tf.where(tf.equal(turns, 0), tf.ones_like(turns), turns)
  sinc = tf.where(tf.equal(turns, 0), tf.ones_like(turns), tf.sin(safe) / safe)
  phase = turns / _ZERO_CROSSINGS
  window = sum(a * tf.cos(i * phase) for i, a in enumerate(_WINDOW))
  window = tf.where(tf.abs(scaled) <= _ZERO_CROSSINGS, window, 0.0)
  return sinc * window * (_ROLL_OFF / stretch)
