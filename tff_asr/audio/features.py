"""Log-mel features, the same function in training, evaluation and serving.

As in Pelikan et al. (2025, arXiv 2310.00098): samples in the range of 16-bit
integers, windows of 25 ms every 10 ms, pre-emphasis 0.97 inside each window, a
symmetric Hamming window, the magnitude of a 512-point Fourier transform, 80
triangular HTK-mel bands from 0 to 8 kHz, a floor of 1 and the natural
logarithm.

Pre-emphasis, window and Fourier transform are linear, so that together they are
one matrix, applied to all windows at once. In float64: beside a constant offset
or a hum, the bands of speech are small differences of large sums.
"""

import functools

import numpy as np
import tensorflow as tf

SAMPLE_RATE = 16_000
WINDOW = 400  # 25 ms
HOP = 160  # 10 ms
MEL_BANDS = 80

_FFT = 512
_PRE_EMPHASIS = 0.97
_INT16_SCALE = 32768.0
_CHUNK_FRAMES = 6_000  # A minute.


def num_frames(samples):
  """Number of feature frames of `samples` samples (Python, NumPy or TF int)."""
  if isinstance(samples, tf.Tensor):
    return tf.maximum(samples - WINDOW, -HOP) // HOP + 1
  return max(samples - WINDOW, -HOP) // HOP + 1


@functools.cache
def _analysis_matrix() -> np.ndarray:
  """Pre-emphasis, window and Fourier transform: `[WINDOW, 2 * bins]`."""
  emphasis = np.eye(WINDOW) - _PRE_EMPHASIS * np.eye(WINDOW, k=1)
  emphasis[0, 0] -= _PRE_EMPHASIS  # The first sample is its own predecessor.
  bins = np.arange(_FFT // 2 + 1)
  angle = 2 * np.pi * np.outer(np.arange(WINDOW), bins) / _FFT
  fourier = np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)
  matrix = emphasis @ (np.hamming(WINDOW)[:, None] * fourier)
  return _INT16_SCALE * matrix


@functools.cache
def _mel_matrix() -> np.ndarray:
  """HTK-mel triangles from 0 to 8 kHz: `[bins, MEL_BANDS]`."""
  frequencies = np.linspace(0.0, SAMPLE_RATE / 2, _FFT // 2 + 1)
  mel = 2595.0 * np.log10(1.0 + frequencies / 700.0)
  edges = np.linspace(0.0, mel[-1], MEL_BANDS + 2)
  left, centre, right = edges[:-2], edges[1:-1], edges[2:]
  rise = (mel[:, None] - left) / (centre - left)
  fall = (right - mel[:, None]) / (right - centre)
  return np.maximum(0.0, np.minimum(rise, fall)).astype(np.float32)


def waveform_of(pcm: tf.Tensor) -> tf.Tensor:
  """Returns PCM of 16 bits, int16 of any shape, as float32 in [-1, 1]."""
  return tf.cast(pcm, tf.float32) / _INT16_SCALE


def log_mel(waveform: tf.Tensor) -> tf.Tensor:
  """Log-mel features of a waveform.

  Args:
    waveform: float32 `[..., samples]`, 16 kHz, in [-1, 1].

  Returns:
    float32 `[..., frames, 80]` with `frames = num_frames(samples)`; a waveform
    shorter than one window has no frame.
  """
  windows = tf.signal.frame(waveform, WINDOW, HOP)
  spectrum = tf.cast(
    tf.linalg.matmul(tf.cast(windows, tf.float64), _analysis_matrix()),
    tf.float32,
  )
  real, imaginary = tf.split(spectrum, 2, axis=-1)
  magnitude = tf.sqrt(tf.square(real) + tf.square(imaginary))
  mel = tf.linalg.matmul(magnitude, _mel_matrix())
  return tf.math.log(tf.maximum(mel, 1.0))


def log_mel_float32(
  waveform: tf.Tensor, scale: tf.Tensor | float = 1.0
) -> tf.Tensor:
  """The features of `log_mel` in float32, for phones, which have nothing else.

  Pre-emphasis comes first, which takes away what would be lost beside a
  constant offset or a hum.

  Args:
    waveform: As in `log_mel`.
    scale: float32 `[]`, a factor of the mel bands.

  Returns:
    As `log_mel`.
  """
  windows = _INT16_SCALE * tf.signal.frame(waveform, WINDOW, HOP)
  before = tf.concat([windows[..., :1], windows[..., :-1]], -1)
  emphasised = windows - _PRE_EMPHASIS * before
  shaped = emphasised * np.hamming(WINDOW).astype(np.float32)
  magnitude = tf.abs(tf.signal.rfft(shaped, [_FFT]))
  mel = tf.linalg.matmul(magnitude, scale * tf.constant(_mel_matrix()))
  return tf.math.log(tf.maximum(mel, 1.0))


def log_mel_in_chunks(waveform: tf.Tensor) -> tf.Tensor:
  """The features of a long waveform, made bit by bit.

  A second of audio takes 1 MB while its features are made.

  Args:
    waveform: float32 `[samples]`, as in `log_mel`.

  Returns:
    float32 `[frames, 80]`, those of `log_mel`.
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

  _, chunks = tf.while_loop(  # There is a first chunk, even if it is empty.
    lambda start, _: (start < frames) | tf.equal(start, 0),
    add,
    (0, chunks),
    parallel_iterations=1,
  )
  return chunks.concat()
