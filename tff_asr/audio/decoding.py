"""Decoding of audio files: FLAC, WAV, MP3, OGG (Vorbis, Opus), by libsndfile.

What is decoded is compared with what the file says of its length: a file that
was cut off can decode to less, or to nothing, without an error.
"""

import io
import math
import zlib

import numpy as np
import soundfile
import soxr

from tff_asr.audio import features

_RATES = (4_000, 192_000)
_LOUDEST = 32.0  # Of 1: lossy formats overshoot a little, damage by far more.
_RIFF_STREAMED = 0xFFFF_F000  # Sizes from here on: written before it was known.
_BITS_REVERSED = bytes(int(f'{byte:08b}'[::-1], 2) for byte in range(256))


class AudioError(ValueError):
  """A file that cannot be decoded to what its header says."""


class TooLongError(AudioError):
  """A file that is longer than wanted."""


def decode(contents: bytes, max_seconds: float = math.inf) -> np.ndarray:
  """Returns a file's audio as int16 `[samples]`, 16 kHz, channels averaged.

  Args:
    contents: The file.
    max_seconds: What is longer by its header is not decoded.

  Raises:
    AudioError: If the file is damaged, cut off, or of a kind that is not read.
    TooLongError: If it is longer than `max_seconds`.
  """
  if not contents:
    raise AudioError('empty file')
  _check_is_whole(contents)
  try:
    with soundfile.SoundFile(io.BytesIO(contents)) as file:
      expected, rate = file.frames, file.samplerate
      if not _RATES[0] <= rate <= _RATES[1]:
        raise AudioError(f'a sample rate of {rate} Hz')
      if expected > max_seconds * rate:
        raise TooLongError(f'{expected / rate:.1f} s')
      audio = file.read(dtype='float32', always_2d=True)
  except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
    if isinstance(error, AudioError):
      raise
    raise AudioError(f'cannot be decoded: {_reason(error)}') from error
  if len(audio) != expected:
    raise AudioError(f'{len(audio)} samples where the header says {expected}')
  mono = audio[:, 0] if audio.shape[1] == 1 else audio.mean(axis=1)
  if not np.abs(mono).max(initial=0.0) < _LOUDEST:  # Also NaN.
    raise AudioError('samples out of all range')
  if rate != features.SAMPLE_RATE:
    mono = soxr.resample(mono, rate, features.SAMPLE_RATE)
  return np.clip(np.round(mono * 32768.0), -32768, 32767).astype(np.int16)


def _reason(error: Exception) -> str:
  return str(error).rpartition(': ')[2].strip().rstrip('.')


def _check_is_whole(contents: bytes) -> None:
  """Finds what libsndfile does not mind: lost parts of WAV and OGG files."""
  if contents[:4] == b'RIFF':
    size = int.from_bytes(contents[4:8], 'little')
    if len(contents) < size + 8 and size < _RIFF_STREAMED:
      raise AudioError(
        f'{len(contents)} bytes where the header says {size + 8}'
      )
  if contents[:4] == b'OggS':
    _check_ogg_pages(contents)


def _check_ogg_pages(contents: bytes) -> None:
  """Checks that every page is intact and the last one there (RFC 3533)."""
  start, is_last = 0, False
  while start < len(contents):
    header = contents[start : start + 27]
    if len(header) < 27 or header[:4] != b'OggS':
      raise AudioError('a damaged OGG page')
    body = start + 27 + header[26]
    end = body + sum(contents[start + 27 : body])
    page = (
      contents[start : start + 22] + b'\0\0\0\0' + contents[start + 26 : end]
    )
    checksum = int.from_bytes(header[22:26], 'little')
    if len(contents) < end or _ogg_checksum(page) != checksum:
      raise AudioError('a damaged OGG page')
    start, is_last = end, bool(header[5] & 4)
  if not is_last:
    raise AudioError('the last OGG page is missing')


def _ogg_checksum(page: bytes) -> int:
  """CRC-32 of an OGG page: zlib's, most significant bit first, from zero."""
  crc = zlib.crc32(page.translate(_BITS_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
  return int(f'{crc:032b}'[::-1], 2)
