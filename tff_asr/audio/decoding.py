"""Decoding of complete audio files with libsndfile.

The supported kinds are FLAC, WAV, MP3, OGG (Vorbis, Opus), AIFF, AU and NIST
SPHERE.  If a file was cut off, or if its header declares too few samples,
libsndfile decodes only a part of the sound and reports no error.  Therefore
this module checks the length of each file, and refuses kinds of files whose
length it cannot check.
"""

from collections.abc import Iterator
import contextlib
import math
import os

import numpy as np
import soundfile
import soxr

from tff_asr.audio import (
  chunks,
  containers,
  features,
  flac,
  mpeg,
  music_tags,
  ogg,
  opus,
  riff,
)

_RATES = (4_000, 192_000)
# Largest absolute sample, where 1 is full scale.  Lossy formats exceed 1 by a
# little; damaged files exceed it by far.
_LOUDEST = 2.0
_WAVE = (b'RIFF', b'RIFX', b'RF64', b'BW64')
_CONTAINERS = {b'FORM': 'AIFF', b'.snd': 'AU', b'NIST': 'NIST'}
_READ = 'FLAC, WAV, MP3, OGG (Vorbis, Opus), AIFF, AU and NIST SPHERE are read'


class AudioError(ValueError):
  """A file cannot be decoded to the samples that its header declares."""


class TooLongError(AudioError):
  """A file is longer than the limit; the message gives its length in s."""


def decode(contents: bytes, max_seconds: float = math.inf) -> np.ndarray:
  """Returns a file's audio as int16 `[samples]`, 16 kHz, channels averaged.

  Args:
    contents: The file.
    max_seconds: A file with a longer declared length is not decoded.

  Raises:
    AudioError: If the file is damaged, cut off, or of an unsupported kind.
    TooLongError: If the file is longer than `max_seconds`.
  """
  if not contents:
    raise AudioError('empty file')
  try:
    return _decode(contents, max_seconds)
  except AudioError:
    raise
  except MemoryError as error:
    raise AudioError(
      'the header declares more samples than memory holds'
    ) from error
  except (chunks.ChunkError, flac.FlacError) as error:
    raise AudioError(str(error)) from error
  except (ogg.OggError, mpeg.MpegError) as error:
    raise AudioError(str(error)) from error
  except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
    raise AudioError(f'cannot be decoded: {_reason(error)}') from error


def _decode(contents: bytes, max_seconds: float) -> np.ndarray:
  """Decodes a file of a supported kind."""
  name = contents[:4]
  if name in _WAVE:
    contents = riff.whole(contents)
    return _read(contents, 'WAV', max_seconds, kept=riff.frames(contents))
  if name in _CONTAINERS:
    expected = containers.frames(contents)
    return _read(contents, _CONTAINERS[name], max_seconds, expected)
  if name == b'OggS':
    sounds, rest = [], max_seconds
    for kind, stream in ogg.streams(contents):
      read = _read_vorbis if kind == 'Vorbis' else _read_opus
      sounds.append(read(stream, rest))
      rest -= len(sounds[-1]) / features.SAMPLE_RATE
    return np.concatenate(sounds)
  start = music_tags.after_leading(contents)
  if contents[start : start + 4] == b'fLaC':
    return _read_flac(contents[start:], max_seconds)
  if mpeg.is_mpeg(contents):
    return _read(mpeg.with_length(contents), 'MP3', max_seconds)
  raise AudioError(f'{_kind(contents)} not read ({_READ})')


def _read(
  contents: bytes,
  kind: str,
  max_seconds: float,
  expected: int | None = None,
  kept: int | None = None,
) -> np.ndarray:
  """Decodes a file whose completeness has been checked.

  Args:
    contents: The file.
    kind: Kind of the file in libsndfile's terms.
    max_seconds: As in `decode`.
    expected: Number of samples of each channel, if known.
    kept: Number of samples of each channel that are sound; the other samples
      fill up a block.
  """
  with _opened(contents) as file:
    if file.format != kind:
      raise AudioError(f'{file.format_info} beginning as {kind}')
    if expected is None:
      expected = file.frames
    _check(file.samplerate, expected, max_seconds)
    audio = file.read(expected, dtype='float32', always_2d=True)
    if len(audio) != expected or file.frames != expected:
      found = min(len(audio), file.frames)
      raise AudioError(f'{found} samples where the header says {expected}')
  return _at_16_khz(audio[:kept], file.samplerate)


def _read_opus(contents: bytes, max_seconds: float) -> np.ndarray:
  opus.check(contents)
  return _read(opus.at_full_rate(contents), 'OGG', max_seconds)


def _read_vorbis(contents: bytes, max_seconds: float) -> np.ndarray:
  """Decodes a Vorbis stream and checks its end against the last page."""
  with _opened(contents) as file:
    expected = file.frames
    _check(file.samplerate, expected, max_seconds)
  # The encoder may have filled up the last block.
  most = expected + ogg.longest_block(contents)
  with _opened(ogg.without_length(contents)) as file:
    audio = file.read(most, 'float32', always_2d=True)
  if not expected <= len(audio) < most:
    raise AudioError(
      f'{len(audio)} samples where the last page says {expected}'
    )
  return _at_16_khz(audio[:expected], file.samplerate)


def _read_flac(contents: bytes, max_seconds: float) -> np.ndarray:
  """Decodes a FLAC file and checks that its header declares all its sound."""
  expected = flac.frames(contents)
  with _opened(contents) as file:
    _check(file.samplerate, expected, max_seconds)
    dtype = 'int16' if file.subtype == 'PCM_16' else 'int32'
    audio = file.read(expected, dtype, always_2d=True)
  if flac.has_check_sum(contents):
    flac.check(contents, audio)
  elif _has_more(contents, expected):
    raise AudioError(f'more samples than the {expected} of the header')
  return _at_16_khz(audio / np.float32(-np.iinfo(dtype).min), file.samplerate)


def _has_more(contents: bytes, frames: int) -> bool:
  """Returns whether a FLAC file has more than `frames` samples per channel."""
  with (
    contextlib.suppress(soundfile.SoundFileError, RuntimeError),
    _opened(flac.with_length(contents, frames + 1)) as file,
  ):
    return file.seek(frames) == frames and len(file.read(1)) == 1
  return False


@contextlib.contextmanager
def _opened(contents: bytes) -> Iterator[soundfile.SoundFile]:
  """Opens a file in memory.

  The file gets a path in /proc/self/fd, where it has no neighbours.  For a file
  without a path, libsndfile would look for a resource fork in the current
  folder.
  """
  with open(os.memfd_create('sound'), 'r+b') as memory:
    memory.write(contents)
    memory.flush()
    with soundfile.SoundFile(f'/proc/self/fd/{memory.fileno()}') as file:
      yield file


def _check(rate: int, frames: int, max_seconds: float) -> None:
  if not _RATES[0] <= rate <= _RATES[1]:
    raise AudioError(f'a sample rate of {rate} Hz')
  if frames > max_seconds * rate:
    raise TooLongError(f'{frames / rate:.1f} s')


def _at_16_khz(audio: np.ndarray, rate: int) -> np.ndarray:
  """Converts float32 `[samples, channels]` to int16 `[samples]`, 16 kHz."""
  mono = audio[:, 0] if audio.shape[1] == 1 else audio.mean(axis=1)
  if not np.abs(mono).max(initial=0.0) <= _LOUDEST:  # This refuses NaN, too.
    raise AudioError('samples far outside the range of audio')
  if rate != features.SAMPLE_RATE:
    mono = soxr.resample(mono, rate, features.SAMPLE_RATE)
  return np.clip(np.round(mono * 32768.0), -32768, 32767).astype(np.int16)


def _kind(contents: bytes) -> str:
  """Returns the subject of a message that a kind of file is not read."""
  with (
    contextlib.suppress(soundfile.SoundFileError, RuntimeError, ValueError),
    _opened(contents) as file,
  ):
    return f'{file.format_info} files are'
  return 'cannot be decoded: this kind of file is'


def _reason(error: Exception) -> str:
  return str(error).rpartition(': ')[2].strip().rstrip('.')
