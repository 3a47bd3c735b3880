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
  size = _size(contents, 4)
  if _is_meant(size):
    if len(contents) < size + 8:
      raise RiffError(f'{len(contents)} bytes where the header says {size + 8}')
    return contents
  data = _data(contents)
  if data is None or _is_meant(_size(contents, data + 4)):
    return contents
  whole = bytearray(contents)
  whole[4:8] = (len(contents) - 8).to_bytes(4, 'little')
  whole[data + 4 : data + 8] = (len(contents) - data - 8).to_bytes(4, 'little')
  return bytes(whole)


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
