"""Length of WAV files.

A recorder that writes to a pipe cannot go back to fill in the sizes: it leaves
0, or a size that no file has.
"""

_STREAMED = 0x7FFF_F000  # Sizes from here on are not meant.


class RiffError(ValueError):
  """A file that is not whole."""


def with_length(contents: bytes) -> bytes:
  """Returns a WAV file whose sizes are those of the file.

  Args:
    contents: The file, which begins with `RIFF`.

  Raises:
    RiffError: If it is shorter than it says.
  """
  size, data = _size(contents, 4), _data(contents)
  if _is_meant(size):
    _check(contents, 8, size)
  if data is None:
    return contents
  size, samples = _size(contents, data + 4), data + 8
  if _is_meant(size):
    _check(contents, samples, size)
    return contents
  if size == 0 and _is_chunk(contents, samples):  # There are no samples.
    return contents
  whole = bytearray(contents)
  whole[4:8] = (len(contents) - 8).to_bytes(4, 'little')
  whole[data + 4 : samples] = (len(contents) - samples).to_bytes(4, 'little')
  return bytes(whole)


def _check(contents: bytes, start: int, size: int) -> None:
  if len(contents) + 1 < start + size:  # A byte of padding may be missing.
    raise RiffError(
      f'{len(contents)} bytes where the header says {start + size}'
    )


def _is_chunk(contents: bytes, at: int) -> bool:
  """Whether a whole chunk of another kind begins here, or the file ends."""
  name = contents[at : at + 4]
  return not name or (
    all(0x20 <= byte < 0x7F for byte in name)
    and at + 8 + _size(contents, at + 4) <= len(contents)
  )


def _size(contents: bytes, at: int) -> int:
  return int.from_bytes(contents[at : at + 4], 'little')


def _is_meant(size: int) -> bool:
  return 0 < size < _STREAMED


def _data(contents: bytes) -> int | None:
  """Where the chunk with the samples begins."""
  at = 12
  while at + 8 <= len(contents):
    if contents[at : at + 4] == b'data':
      return at
    size = _size(contents, at + 4)
    at += 8 + size + size % 2
  return None
