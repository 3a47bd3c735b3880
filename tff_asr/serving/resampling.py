"""Resampling from any sample rate to 16 kHz inside a graph."""

import math

import tensorflow as tf

from tff_asr.audio import features

MAX_RATES = 16  # Most rates in a batch, because each rate needs its own matrix.
_ZERO_CROSSINGS = 80  # Zero crossings on each side of the filter.
# The filter passes half at this share of the highest frequency, and all up to a
# share of 0.91, like the filter of training.
_ROLL_OFF = 0.9565
# Window of Blackman and Harris; its sidelobes are 92 dB down.
_WINDOW = (0.35875, 0.48829, 0.14128, 0.01168)
# The exact ratios of these rates need large numbers: `_EXACT_DOWN` samples of
# the rate last as long as `_EXACT_UP` samples at 16 kHz.
_EXACT_RATES = (11_025, 22_050, 44_100, 88_200, 176_400)
_EXACT_UP = (640, 320, 160, 80, 40)
_EXACT_DOWN = 441
_MAX_UP = 512  # Enough for every rate from 4 to 192 kHz.
_MAX_ERROR = 1e-3  # Greatest relative error of other rates.


def samples_at_16_khz(samples: tf.Tensor, rates: tf.Tensor) -> tf.Tensor:
  """Returns the numbers of samples that `resample` returns, int32 `[batch]`.

  Args:
    samples: int64 `[batch]`, numbers of samples before.
    rates: int32 `[batch]`, sample rates in Hz.
  """
  up, down = _ratio(rates)
  return tf.cast(-(-samples * up // down), tf.int32)


def resample(sounds: tf.RaggedTensor, rates: tf.Tensor) -> tf.RaggedTensor:
  """Resamples sounds to 16 kHz.

  The filter is a windowed sinc.  For each rate, the filter is one matrix that
  is applied to overlapping pieces of the sounds.  Common rates are exact.  A
  rate whose ratio to 16 kHz needs large numbers is replaced by a rate that
  differs by less than 0.1 %.

  Args:
    sounds: float32 `[batch, (samples)]`.
    rates: int32 `[batch]`, sample rates in Hz, positive.

  Returns:
    float32 `[batch, (samples * 16000 / rate)]`, rounded up.

  Raises:
    InvalidArgumentError: If the batch has more than `MAX_RATES` rates.
  """
  is_other = tf.not_equal(rates, features.SAMPLE_RATE)
  return tf.cond(
    tf.reduce_any(is_other), lambda: _by_rate(sounds, rates), lambda: sounds
  )


def _by_rate(sounds, rates) -> tf.RaggedTensor:
  """Resamples as `resample` does, one rate after the other."""
  different, _ = tf.unique(rates)
  check = tf.debugging.assert_less_equal(
    tf.size(different),
    MAX_RATES,
    f'A batch is to have no more than {MAX_RATES} sample rates',
  )
  with tf.control_dependencies([check]):
    different = tf.identity(different)
  count = tf.size(different)
  found, rows = (
    tf.TensorArray(dtype, count, element_shape=[None], infer_shape=False)
    for dtype in (tf.float32, tf.int64)
  )

  def step(i, found, rows):
    of_rate = tf.where(tf.equal(rates, different[i]))[:, 0]
    some = tf.gather(sounds, of_rate)
    samples = tf.cond(
      tf.equal(different[i], features.SAMPLE_RATE),
      lambda: some.values,
      lambda: _resampled(some.values, some.row_splits, different[i]),
    )
    return i + 1, found.write(i, samples), rows.write(i, of_rate)

  _, found, rows = tf.while_loop(
    lambda i, *_: i < count, step, (0, found, rows), parallel_iterations=1
  )
  order = rows.concat()
  lengths = samples_at_16_khz(sounds.row_lengths(), rates)
  by_rate = tf.RaggedTensor.from_row_lengths(
    found.concat(), tf.cast(tf.gather(lengths, order), tf.int64), validate=False
  )
  return tf.gather(by_rate, tf.argsort(order))


def _resampled(values, splits, rate) -> tf.Tensor:
  """Resamples sounds of one rate.

  Args:
    values: float32, the samples of all sounds, one sound after the other.
    splits: int64, the row splits of the sounds.
    rate: int32 `[]`, the sample rate in Hz.

  Returns:
    float32, the samples at 16 kHz, one sound after the other.
  """
  up, down = (n[0] for n in _ratio(rate[None]))
  # For a rate above 16 kHz the filter is longer by this factor.
  stretch = tf.maximum(down / up, 1.0)
  side = tf.cast(tf.math.ceil(_ZERO_CROSSINGS * stretch / _ROLL_OFF), tf.int64)
  # A piece is at least as long as one side of the filter, so that a piece needs
  # samples only of its neighbours.
  pieces_up, pieces_down = (n * (-(-side // down)) for n in (up, down))
  lengths = splits[1:] - splits[:-1]
  # Each sound starts at a piece.  Zeros for one side of the filter follow it.
  count = -(-(lengths + side) // pieces_down)
  first = tf.cumsum(count, exclusive=True)
  line = tf.scatter_nd(
    _places(splits, first * pieces_down)[:, None],
    values,
    [tf.reduce_sum(count) * pieces_down],
  )
  length = pieces_down + 2 * side
  pieces = tf.signal.frame(
    tf.pad(line, [[side, side]]),
    tf.cast(length, tf.int32),
    tf.cast(pieces_down, tf.int32),
  )
  found = tf.reshape(
    pieces @ _matrix(length, pieces_up, up, down, side, stretch), [-1]
  )
  wanted = tf.concat([[0], tf.cumsum(-(-lengths * up // down))], 0)
  return tf.gather(found, _places(wanted, first * pieces_up))


def _places(splits, starts) -> tf.Tensor:
  """Returns the positions of the rows' values, int64, from the rows' starts."""
  place = tf.range(splits[-1])
  row = tf.searchsorted(splits[1:], place, side='right')
  return place + tf.gather(starts - splits[:-1], row)


def _matrix(length, width, up, down, side, stretch) -> tf.Tensor:
  """Returns the matrix from samples to samples at 16 kHz.

  Returns:
    float32 `[length, width]`.
  """
  position, time = (tf.range(tf.cast(n, tf.int32)) for n in (length, width))
  up, down, side = (tf.cast(n, tf.int32) for n in (up, down, side))
  distance = ((position - side) * up)[:, None] - (time * down)[None]
  return _filter(
    tf.cast(distance, tf.float32) / tf.cast(up, tf.float32),
    tf.cast(stretch, tf.float32),
  )


def _ratio(rates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns small integers up, down with up / down close to 16 kHz / rate.

  Returns:
    The smallest integers that are close enough, int64 `[batch]` each.
  """
  up = tf.range(1, _MAX_UP + 1, dtype=tf.int64)
  exact = tf.cast(rates, tf.float64)[:, None] / features.SAMPLE_RATE
  down = tf.round(tf.cast(up, tf.float64) * exact)
  off = tf.abs(down / tf.cast(up, tf.float64) / exact - 1.0)
  best = tf.argmax(off <= _MAX_ERROR, axis=1)
  near = tf.cast(tf.gather(down, best, axis=1, batch_dims=1), tf.int64)
  is_exact = tf.equal(rates[:, None], _EXACT_RATES)
  exact_up = tf.gather(
    tf.constant(_EXACT_UP, tf.int64), tf.argmax(is_exact, axis=1)
  )
  is_exact = tf.reduce_any(is_exact, axis=1)
  return (
    tf.where(is_exact, exact_up, tf.gather(up, best)),
    tf.where(is_exact, tf.constant(_EXACT_DOWN, tf.int64), near),
  )


def _filter(distance: tf.Tensor, stretch: tf.Tensor) -> tf.Tensor:
  """Returns the filter's impulse response, float32.

  Args:
    distance: Distances from the centre, in samples of the input.
    stretch: Factor of the filter's length.
  """
  scaled = distance * (_ROLL_OFF / stretch)
  turns = scaled * math.pi
  safe = tf.where(tf.equal(turns, 0), tf.ones_like(turns), turns)
  sinc = tf.where(tf.equal(turns, 0), tf.ones_like(turns), tf.sin(safe) / safe)
  cosine = tf.cos(turns / _ZERO_CROSSINGS)
  # The window is a sum of cosines of 1, 2 and 3 times the angle, written as a
  # polynomial in the cosine.
  a, b, c, d = _WINDOW
  window = (a - c) + cosine * ((b - 3 * d) + cosine * (2 * c + 4 * d * cosine))
  window = tf.where(tf.abs(scaled) <= _ZERO_CROSSINGS, window, 0.0)
  return sinc * window * (_ROLL_OFF / stretch)
