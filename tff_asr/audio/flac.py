"""Checks that FLAC files (RFC 9639) are complete, by their check sum."""

import hashlib

import numpy as np

_START = b'fLaC\0\0\0\x22'
_INFO = 8  # Position after the file's name and the first block's header.
_BITS = _INFO + 12
_LENGTH = _INFO + 13  # The length has 36 bits: half a byte and 4 bytes.
_MD5 = _INFO + 18
_SOUND = _MD5 + 16


class FlacError(ValueError):
  """A FLAC file is incomplete."""


def frames(contents: bytes) -> int:
  """Returns the number of samples of each channel that the header declares.

  Args:
    contents: The file, which begins with `fLaC`.

  Raises:
    FlacError: If the file has no header or no declared length, or if another
      FLAC file follows.
  """
  if len(contents) < _SOUND or contents[4] & 0x7F:
    raise FlacError('a FLAC file without a header')
  number = int.from_bytes(contents[_LENGTH : _LENGTH + 5], 'big') % 2**36
  if not number:
    raise FlacError(
      'the header gives no length, as in FLAC that was written to a pipe:'
      ' decode the audio to a WAV file and encode that file'
    )
  if contents.find(_START, _SOUND) >= 0:
    raise FlacError('several FLAC files one after the other')
  return number


def has_check_sum(contents: bytes) -> bool:
  """Returns whether the file has a check sum of its sound."""
  return any(contents[_MD5:_SOUND])


def with_length(contents: bytes, number: int) -> bytes:
  """Returns the file with `number` samples declared in its header."""
  upper = contents[_LENGTH] & 0xF0 | number >> 32
  length = bytes([upper]) + (number % 2**32).to_bytes(4, 'big')
  return contents[:_LENGTH] + length + contents[_LENGTH + 5 :]


def check(contents: bytes, audio: np.ndarray) -> None:
  """Checks the decoded samples against the check sum in the file.

  Args:
    contents: The file.
    audio: int16 or int32 `[samples, channels]`, samples in the upper bits.

  Raises:
    FlacError: If they differ.
  """
  bits = ((contents[_BITS] & 1) << 4 | contents[_BITS + 1] >> 4) + 1
  samples = audio >> (8 * audio.itemsize - bits)
  # The check sum is over little-endian samples, in as few bytes as possible.
  width = -(-bits // 8)
  parts = samples.astype(f'<i{audio.itemsize}').view(np.uint8)
  parts = parts.reshape(-1, audio.itemsize)[:, :width]
  found = hashlib.md5(np.ascontiguousarray(parts), usedforsecurity=False)
  if found.digest() != contents[_MD5:_SOUND]:
    raise FlacError('the sound differs from its check sum (MD5)')
