"""Decoding of audio files: FLAC, WAV, MP3, OGG (Vorbis, Opus), by libsndfile.

What is decoded is compared with what the file says of its length: a file that
was cut off can decode to less, or to nothing, without an error.
"""

import io
import math

import numpy as np
import soundfile
import soxr

from tff_asr.audio import features, mpeg, ogg, riff

_RATES = (4_000, 192_000)
_LOUDEST = 32.0  # Of 1: lossy formats overshoot a little, damage by far more.
_UNKNOWN_FRAMES = 2**48  # More than any file has: a header without a length.


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
  try:
    with soundfile.SoundFile(io.BytesIO(_with_length(contents))) as file:
      expected, rate = file.frames, file.samplerate
      if not _RATES[0] <= rate <= _RATES[1]:
        raise AudioError(f'a sample rate of {rate} Hz')
      if expected > _UNKNOWN_FRAMES:
        raise AudioError(
          'the header gives no length, as of FLAC that was written to a pipe:'
          ' decode it to a file and encode that'
        )
      if expected > max_seconds * rate:
        raise TooLongError(f'{expected / rate:.1f} s')
      audio = file.read(dtype='float32', always_2d=True)
  except AudioError:
    raise
  except MemoryError as error:
    raise AudioError('the header says more than memory holds') from error
  except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
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


def _with_length(contents: bytes) -> bytes:
  """Returns the file, with its length where libsndfile would guess that.

  Raises:
    AudioError: If a part is lost whose loss libsndfile does not mind.
  """
  try:
    if contents[:4] == b'RIFF':
      return riff.with_length(contents)
    if contents[:4] == b'OggS':
      ogg.check(contents)
    elif contents[:4] != b'fLaC':
      with soundfile.SoundFile(io.BytesIO(contents)) as file:
        if file.format == 'MP3':
          return mpeg.with_length(contents)
  except (riff.RiffError, ogg.OggError, mpeg.MpegError) as error:
    raise AudioError(str(error)) from error
  return contents
