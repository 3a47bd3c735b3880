"""WAV files of 16-bit PCM inside a graph, where a bad one harms no other.

TensorFlow's own `DecodeWav` fails a whole batch, and takes a file that says
more than it holds.
"""

import tensorflow as tf

from tff_asr.audio import features
from tff_asr.serving import resampling

_MIN_RATE = 4_000
_MAX_RATE = 192_000
_PCM = 1
_EXTENSIBLE = 0xFFFE  # The kind then stands further back.
_STREAMED = 0x7FFF_F000  # Sizes from here on are not meant, nor is 0.
_HEADER = 12
_MAX_CHUNKS = 1_000  # Before the one that is wanted.


def decode(
  contents: tf.Tensor, max_seconds: float
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the audio of a file, and what is wrong with it.

  Args:
    contents: string `[]`, a WAV file of 16-bit PCM of any rate and number of
      channels, which are averaged.
    max_seconds: What is longer is not decoded.

  Returns:
    waveform: float32 `[samples]`, 16 kHz, in steps of 16-bit PCM, as training
      has it; empty if something is wrong.
    error: string `[]`, empty if nothing is.
  """
  file = _Reader(contents)
  number, size = file.number, file.size
  form, data = file.find(b'fmt '), file.find(b'data')
  kind = number(form + 8, 2)
  kind = tf.where(tf.equal(kind, _EXTENSIBLE), number(form + 32, 2), kind)
  channels, rate = number(form + 10, 2), number(form + 12, 4)
  bits = number(form + 22, 2)
  said, there = number(data + 4, 4), tf.cast(size - data - 8, tf.int64)
  is_meant = (said > 0) & (said < _STREAMED)
  # No samples, and another chunk, or the end, behind them.
  behind = tf.cast(tf.io.decode_raw(file.text(data + 8, 4), tf.uint8), tf.int32)
  is_chunk = tf.reduce_all((behind >= 0x20) & (behind < 0x7F)) & (
    8 + number(data + 12, 4) <= there
  )
  is_empty = tf.equal(said, 0) & ((there <= 0) | is_chunk)
  # One byte of padding may be missing, as libsndfile has it.
  length = tf.where(is_meant, tf.minimum(said, there), tf.maximum(there, 0))
  length = tf.where(is_empty, tf.zeros_like(length), length)
  frame = tf.maximum(2 * channels, 2)
  frames = length // frame
  seconds = tf.cast(frames, tf.float32) / tf.cast(
    tf.maximum(rate, 1), tf.float32
  )
  error = _first(
    (
      tf.not_equal(file.text(0, 4), b'RIFF')
      | tf.not_equal(file.text(8, 4), b'WAVE'),
      'not a WAV file',
    ),
    (form >= size, 'a WAV file without a format'),
    (
      tf.not_equal(kind, _PCM) | tf.not_equal(bits, 16),
      'not 16-bit PCM',
    ),
    (tf.equal(channels, 0), 'no channels'),
    (
      (rate < _MIN_RATE) | (rate > _MAX_RATE),
      f'a sample rate outside of {_MIN_RATE} to {_MAX_RATE} Hz',
    ),
    (data >= size, 'a WAV file without samples'),
    (is_meant & (said > there + 1), 'shorter than its header says'),
    (seconds > max_seconds, f'longer than {max_seconds:g} s'),
  )

  def samples():
    pcm = tf.io.decode_raw(
      tf.strings.substr(contents, data + 8, tf.cast(frames * frame, tf.int32)),
      tf.int16,
    )
    shape = tf.stack([-1, tf.cast(channels, tf.int32)])
    sound = tf.cast(tf.reshape(pcm, shape), tf.float32)
    mono = tf.reduce_mean(sound, axis=1) / 2**15
    at_16_khz = tf.cond(
      tf.equal(rate, features.SAMPLE_RATE),
      lambda: mono,
      lambda: resampling.resample(mono, tf.cast(rate, tf.int32)),
    )
    steps = tf.clip_by_value(tf.round(at_16_khz * 2**15), -(2**15), 2**15 - 1)
    return features.waveform_of(tf.cast(steps, tf.int16))

  return tf.cond(tf.equal(error, b''), samples, lambda: tf.zeros([0])), error


class _Reader:
  """Reads a file in chunks; whatever is read lies in it, or is zero.

  Attributes:
    size: Of the file in bytes, int32 `[]`.
  """

  def __init__(self, contents: tf.Tensor):
    """Takes the file, string `[]`."""
    self.size = tf.strings.length(contents)
    self._filled = tf.strings.join([contents, tf.constant(bytes(64))])

  def text(self, at: tf.Tensor, length: int) -> tf.Tensor:
    """Bytes from a place on."""
    return tf.strings.substr(self._filled, tf.minimum(at, self.size), length)

  def number(self, at: tf.Tensor, length: int) -> tf.Tensor:
    """Number of some bytes from a place on, int64."""
    digits = tf.io.decode_raw(self.text(at, length), tf.uint8)
    places = tf.constant([256**i for i in range(length)], tf.int64)
    return tf.reduce_sum(tf.cast(digits, tf.int64) * places)

  def find(self, name: bytes) -> tf.Tensor:
    """Where the first chunk of a name begins, or the end of the file."""
    end = tf.cast(self.size, tf.int64)

    def is_other(at):
      found = self.text(tf.cast(at, tf.int32), 4)
      return (at + 8 <= end) & tf.not_equal(found, name)

    def following(at):
      length = self.number(tf.cast(at, tf.int32) + 4, 4)
      return tf.minimum(at + 8 + length + length % 2, end)

    found = tf.while_loop(
      is_other,
      lambda at: [following(at)],
      [tf.constant(_HEADER, tf.int64)],
      maximum_iterations=_MAX_CHUNKS,
    )[0]
    is_there = (found + 8 <= end) & ~is_other(found)
    return tf.cast(tf.where(is_there, found, end), tf.int32)


def _first(*faults: tuple[tf.Tensor, str]) -> tf.Tensor:
  """The text of the first fault that is there, or an empty one."""
  text = tf.constant('')
  for is_there, name in reversed(faults):
    text = tf.where(is_there, name, text)
  return text
