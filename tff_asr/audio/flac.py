"""Decoding of FLAC files with tensorflow-io.

The header is read first: it says how many samples there must be.  A damaged
file can decode to fewer, or to none, without an error.
"""

import dataclasses
import math

import numpy as np
import scipy.signal
import tensorflow as tf
import tensorflow_io as tfio

from tff_asr.audio import features


class AudioError(ValueError):
  """A file that cannot be decoded to what its header says."""


@dataclasses.dataclass(frozen=True)
class StreamInfo:
  """The header of a FLAC file.

  Attributes:
    sample_rate: In Hz.
    channels: 1 to 8.
    bits: Bits of a sample.
    samples: Number of samples of each channel, 0 if the file does not say.
  """

  sample_rate: int
  channels: int
  bits: int
  samples: int


def stream_info(contents: bytes) -> StreamInfo:
  """Reads the STREAMINFO block (RFC 9639, section 8.2).

  Raises:
    AudioError: If `contents` is no FLAC file.
  """
  if len(contents) < 42 or contents[:4] != b'fLaC' or contents[4] & 0x7F:
    raise AudioError('not a FLAC file')
  # 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of samples.
  packed = int.from_bytes(contents[18:26], 'big')
  return StreamInfo(
    sample_rate=packed >> 44,
    channels=(packed >> 41 & 0x7) + 1,
    bits=(packed >> 36 & 0x1F) + 1,
    samples=packed & (1 << 36) - 1,
  )


def decode(contents: bytes) -> np.ndarray:
  """Returns a FLAC file's audio as int16 `[samples]`, 16 kHz, channels mixed.

  Raises:
    AudioError: If the file is damaged, or not of 16 bits.
  """
  info = stream_info(contents)
  if info.bits != 16:
    raise AudioError(f'{info.bits} bits a sample, only 16 can be read')
  if not 4_000 <= info.sample_rate <= 192_000:
    raise AudioError(f'a sample rate of {info.sample_rate} Hz')
  try:
    audio = tfio.audio.decode_flac(contents, dtype=tf.int16).numpy()
  except tf.errors.OpError as error:
    raise AudioError('cannot be decoded') from error
  if not len(audio) or info.samples not in (0, len(audio)):
    raise AudioError(
      f'{len(audio)} samples where the header says {info.samples}'
    )
  if info.sample_rate == features.SAMPLE_RATE and info.channels == 1:
    return audio[:, 0]
  mixed = audio.mean(axis=1)
  common = math.gcd(info.sample_rate, features.SAMPLE_RATE)
  resampled = scipy.signal.resample_poly(
    mixed, features.SAMPLE_RATE // common, info.sample_rate // common
  )
  return np.clip(np.round(resampled), -32768, 32767).astype(np.int16)
