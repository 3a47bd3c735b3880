"""Log-mel features of a waveform.

Training, evaluation and the server share `log_mel`.  Models for phones compute
the same features with the Fourier transform of `log_mel_float32`.

As in Pelikan et al. (2025, arXiv 2310.00098): samples in the range of 16-bit
integers, windows of 25 ms every 10 ms, pre-emphasis 0.97 inside each window, a
symmetric Hamming window, the magnitude of a 512-point Fourier transform, 80
triangular HTK-mel bands from 0 to 8 kHz, a floor of 1 and the natural
logarithm.

A constant offset or a hum may be louder than the speech.  Then the bands of
speech are small differences of large sums.  Pre-emphasis comes first, because
it reduces both, in a form that loses no digit of 16-bit samples.  After it,
float32 is precise to 3e-4.

Window and Fourier transform are two matrices, of cosines and of sines.  The
window is symmetric, and a shift in time does not change magnitudes.  So the
origin is the middle of the window: then the two halves of a frame have the same
cosines, and sines of opposite signs.  Sums and differences of the halves need
half the products.
"""

import functools

import numpy as np
import tensorflow as tf

from tff_asr import tracing

SAMPLE_RATE = 16_000
WINDOW = 400  # 25 ms
HOP = 160  # 10 ms
MEL_BANDS = 80

_FFT = 512
_PRE_EMPHASIS = 0.97
_REST = 0.03  # 1 - 0.97, the part of an offset that remains.
_INT16_SCALE = 32768.0
_CHUNK_FRAMES = 6_000  # One minute.


def num_frames(samples):
  """Returns the number of feature frames of a waveform.

  Args:
    samples: Number of samples, an integer of Python, NumPy or TensorFlow.
  """
  if isinstance(samples, tf.Tensor):
    return tf.maximum(samples - WINDOW, -HOP) // HOP + 1
  return max(samples - WINDOW, -HOP) // HOP + 1


@functools.cache
def _half_transform() -> tuple[np.ndarray, np.ndarray]:
  """Returns the window and Fourier transform of the second half of a window.

  Returns:
    Cosines and sines, float32 `[WINDOW / 2, bins]` each.
  """
  bins = np.arange(_FFT // 2 + 1)
  from_middle = np.arange(WINDOW // 2) + 0.5
  angle = 2 * np.pi * np.outer(from_middle, bins) / _FFT
  window = _INT16_SCALE * np.hamming(WINDOW)[WINDOW // 2 :, None]
  return (
    (window * np.cos(angle)).astype(np.float32),
    (window * np.sin(angle)).astype(np.float32),
  )


@functools.cache
def _mel_matrix() -> np.ndarray:
  """Returns HTK-mel triangles from 0 to 8 kHz, float32 `[bins, MEL_BANDS]`."""
  frequencies = np.linspace(0.0, SAMPLE_RATE / 2, _FFT // 2 + 1)
  mel = 2595.0 * np.log10(1.0 + frequencies / 700.0)
  edges = np.linspace(0.0, mel[-1], MEL_BANDS + 2)
  left, centre, right = edges[:-2], edges[1:-1], edges[2:]
  rise = (mel[:, None] - left) / (centre - left)
  fall = (right - mel[:, None]) / (right - centre)
  return np.maximum(0.0, np.minimum(rise, fall)).astype(np.float32)


def waveform_of(pcm: tf.Tensor) -> tf.Tensor:
  """Converts 16-bit PCM, int16 of any shape, to float32 in [-1, 1]."""
  return tf.cast(pcm, tf.float32) / _INT16_SCALE


@tracing.unconverted
def log_mel(waveform: tf.Tensor) -> tf.Tensor:
  """Returns the log-mel features of a waveform.

  Args:
    waveform: float32 `[..., samples]`, 16 kHz, in [-1, 1].

  Returns:
    float32 `[..., frames, 80]` with `frames = num_frames(samples)`; a waveform
    shorter than one window has no frames.
  """
  windows = tf.signal.frame(waveform, WINDOW, HOP)
  before, after = windows[..., :-1], windows[..., 1:]
  # The first sample is its own predecessor.  Differences of samples are exact.
  emphasised = tf.concat(
    [_REST * windows[..., :1], (after - before) + _REST * before], -1
  )
  first, second = tf.split(emphasised, 2, axis=-1)
  first = tf.reverse(first, [-1])
  cosines, sines = _half_transform()
  real = tf.linalg.matmul(second + first, cosines)
  imaginary = tf.linalg.matmul(second - first, sines)
  magnitude = tf.sqrt(tf.square(real) + tf.square(imaginary))
  mel = tf.linalg.matmul(magnitude, _mel_matrix())
  return tf.math.log(tf.maximum(mel, 1.0))


def log_mel_float32(
  waveform: tf.Tensor, scale: tf.Tensor | float = 1.0
) -> tf.Tensor:
  """Returns the features of `log_mel`, computed in float32 for phones.

  TensorFlow Lite has an operation for the Fourier transform, which is smaller
  than the matrices of `log_mel`.

  Args:
    waveform: As in `log_mel`.
    scale: float32 `[]`, a factor of the mel bands.

  Returns:
    As in `log_mel`.
  """
  windows = _INT16_SCALE * tf.signal.frame(waveform, WINDOW, HOP)
  before = tf.concat([windows[..., :1], windows[..., :-1]], -1)
  emphasised = windows - _PRE_EMPHASIS * before
  shaped = emphasised * np.hamming(WINDOW).astype(np.float32)
  magnitude = tf.abs(tf.signal.rfft(shaped, [_FFT]))
  mel = tf.linalg.matmul(magnitude, scale * tf.constant(_mel_matrix()))
  return tf.math.log(tf.maximum(mel, 1.0))


@tracing.unconverted
def log_mel_in_chunks(waveform: tf.Tensor) -> tf.Tensor:
  """Returns the features of a long waveform, computed in chunks of a minute.

  Chunks limit the memory: the computation takes 1 MB for each second of audio.

  Args:
    waveform: float32 `[samples]`, as in `log_mel`.

  Returns:
    float32 `[frames, 80]`, the same values as from `log_mel`.
  """
  frames = num_frames(tf.size(waveform))
  chunks = tf.TensorArray(
    tf.float32,
    0,
    dynamic_size=True,
    infer_shape=False,
    element_shape=[None, MEL_BANDS],
  )

  def add(start, chunks):
    first = start * HOP
    samples = waveform[first : first + (_CHUNK_FRAMES - 1) * HOP + WINDOW]
    chunks = chunks.write(start // _CHUNK_FRAMES, log_mel(samples))
    return start + _CHUNK_FRAMES, chunks

  _, chunks = tf.while_loop(  # `concat` needs a first chunk, even an empty one.
    lambda start, _: (start < frames) | tf.equal(start, 0),
    add,
    (0, chunks),
    parallel_iterations=1,
  )
  return chunks.concat()
