"""Decoding of 16-bit PCM WAV files inside a graph; bad files harm no others.

If one file is bad, TensorFlow's own `DecodeWav` fails the whole batch.  It also
accepts a file with fewer samples than its header declares.  This module first
reads the headers of all files at once, so that a batch can be refused before
its samples are decoded.  `tff_asr.audio.riff` applies the same rules for
complete files.
"""

from typing import NamedTuple

import tensorflow as tf

from tff_asr.audio import riff
from tff_asr.serving import resampling, wav_chunks

_MIN_RATE = 4_000
_MAX_RATE = 192_000
_MAX_CHANNELS = 1_024  # The limit of libsndfile.
_WIDTH = 2  # Bytes of a sample.


class Headers(NamedTuple):
  """Values from the headers of files, `[files]` each.

  Attributes:
    error: string, the fault of a file, or empty.
    start: int64, the position of the first byte of the samples.
    frames: int64, the number of samples of each channel; 0 with an error.
    channels: int64, the number of channels.
    rate: int32, the sample rate in Hz.
    samples: int32, the number of samples of each channel at 16 kHz.
  """

  error: tf.Tensor
  start: tf.Tensor
  frames: tf.Tensor
  channels: tf.Tensor
  rate: tf.Tensor
  samples: tf.Tensor


def headers(contents: tf.Tensor, max_seconds: float) -> Headers:
  """Reads the headers of files.

  Args:
    contents: string `[files]`, WAV files of 16-bit PCM with any rate and number
      of channels.
    max_seconds: Greatest length; a longer file gets an error.
  """
  file = wav_chunks.Files(contents)
  found = file.find()
  form, data = found.form, found.data
  encoding, channels = file.number(form + 8, 2), file.number(form + 10, 2)
  rate = file.number(form + 12, 4)
  block, bits = file.number(form + 20, 2), file.number(form + 22, 2)
  form_bytes = tf.minimum(file.number(form + 4, 4), file.size - form - 8)
  encoding = tf.where(
    tf.equal(encoding, riff.EXTENSIBLE) & (form_bytes >= 26),
    file.number(form + 32, 2),
    encoding,
  )
  frame = tf.maximum(_WIDTH * channels, _WIDTH)
  size, is_cut, has_more = _extent(file, data, frame)
  frames = size // frame
  is_rate = (rate >= _MIN_RATE) & (rate <= _MAX_RATE)
  error = _first(
    (~file.is_wav(), 'not a WAV file'),
    (found.is_long, f'more than {wav_chunks.MAX_CHUNKS} chunks'),
    ((form < 0) | (form_bytes < 16), 'a WAV file without a format'),
    (
      tf.not_equal(encoding, riff.PCM) | tf.not_equal((bits + 7) // 8, _WIDTH),
      'not 16-bit PCM',
    ),
    (tf.equal(channels, 0), 'no channels'),
    (channels > _MAX_CHANNELS, f'more than {_MAX_CHANNELS} channels'),
    (
      tf.not_equal(block, 0) & tf.not_equal(block, frame),
      'a frame size that does not match the channels',
    ),
    (
      ~is_rate,
      f'a sample rate outside of {_MIN_RATE} to {_MAX_RATE} Hz',
    ),
    (data < 0, 'a WAV file without samples'),
    (found.is_in_parts, 'samples in several chunks'),
    (is_cut, 'shorter than its header says'),
    (has_more, 'longer than its header says'),
    (
      tf.cast(frames, tf.float64) > max_seconds * tf.cast(rate, tf.float64),
      f'longer than {max_seconds:g} s',
    ),
  )
  is_whole = tf.equal(error, b'')
  frames = tf.where(is_whole, frames, 0)
  rate = tf.cast(tf.where(is_whole, rate, _MIN_RATE), tf.int32)
  samples = resampling.samples_at_16_khz(frames, rate)
  return Headers(error, data + 8, frames, channels, rate, samples)


def decode(contents: tf.Tensor, found: Headers) -> tf.RaggedTensor:
  """Returns the audio of files.

  Args:
    contents: string `[files]`.
    found: Headers of the files, all without errors.

  Returns:
    float32 `[files, (samples)]`, 16 kHz, channels averaged, rounded to the
    steps of 16-bit PCM as in training.

  Raises:
    InvalidArgumentError: If there are more rates than a batch may have.
  """
  size = found.frames * found.channels * _WIDTH
  # All files are joined, because `decode_raw` needs texts of the same length.
  joined = tf.strings.reduce_join(
    tf.strings.substr(contents, found.start, size)
  )
  pcm = tf.cast(tf.io.decode_raw(joined, tf.int16), tf.float32)
  mono = tf.cond(
    tf.reduce_all(tf.equal(found.channels, 1)),
    lambda: pcm,
    lambda: _averaged(pcm, found.frames, found.channels),
  )
  splits = tf.concat([[0], tf.cumsum(found.frames)], 0)
  sounds = tf.RaggedTensor.from_row_splits(mono, splits, validate=False)
  resampled = resampling.resample(sounds, found.rate)
  steps = tf.clip_by_value(tf.round(resampled.values), -(2**15), 2**15 - 1)
  return resampled.with_values(steps / 2**15)


def _extent(file, data, frame) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns the extent of the samples of files, `[files]` each.

  Returns:
    int64, the bytes of samples; bool, whether samples are missing; bool,
    whether the file has more samples than its header declares.
  """
  body = data + 8
  said, there = file.number(data + 4, 4), tf.maximum(file.size - body, 0)
  end = tf.minimum(body + said, file.size)
  is_available = data >= 0
  is_doubtful = tf.equal(said, 0) | (file.size - end >= frame)
  rest, padded = (
    file.rest(at, is_available & is_doubtful) for at in (end, end + 1)
  )
  is_metadata = rest.is_metadata | (tf.equal(said % 2, 1) & padded.is_metadata)
  first = file.number(tf.fill(tf.shape(data), tf.constant(4, tf.int64)), 4)
  is_size_of_file = (
    tf.equal(said, first) & (said <= file.size) & (file.size - said <= 8)
  )
  is_meant = ~is_size_of_file & tf.where(
    tf.equal(said, 0), is_metadata, (said <= there) | (said < riff.STREAMED)
  )
  last = 8 + first
  is_cut = tf.where(
    is_meant,
    there // frame < said // frame,
    (body < last)
    & (first < riff.STREAMED)
    & (file.size + riff.RIFF_SLACK < last),
  )
  has_more = is_meant & (file.size - end >= frame) & ~is_metadata
  has_more |= is_available & tf.equal(said, 0) & rest.is_damage
  has_more |= file.has_metadata_near_end(
    body, is_available & ~is_meant & ~is_cut
  )
  return tf.where(is_meant, end - body, there), is_cut, has_more


def _averaged(pcm, frames, channels) -> tf.Tensor:
  """Returns the means over the channels, float32 `[all frames]`."""
  samples = tf.cumsum(frames * channels)
  before = tf.cumsum(frames, exclusive=True)
  place = tf.range(tf.size(pcm, tf.int64))
  file = tf.searchsorted(samples, place, side='right', out_type=tf.int32)
  start = samples - frames * channels
  frame = tf.gather(before, file) + (
    (place - tf.gather(start, file)) // tf.gather(channels, file)
  )
  return tf.math.segment_mean(pcm, frame)


def _first(*faults: tuple[tf.Tensor, str]) -> tf.Tensor:
  """Returns the text of the first fault of each file, or an empty text."""
  text = tf.fill(tf.shape(faults[0][0]), '')
  for is_available, name in reversed(faults):
    text = tf.where(is_available, name, text)
  return text
