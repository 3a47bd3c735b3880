"""Chunks, of which WAV and AIFF files are made: name, size, contents."""

from collections.abc import Iterator
from typing import NamedTuple

# Without the sound.  They may be cut off, or lack their padding.
METADATA = (b'LIST', b'fact', b'id3 ', b'ID3 ', b'bext', b'cue ', b'PEAK')
METADATA += (b'JUNK', b'junk', b'PAD ', b'FLLR', b'smpl', b'iXML', b'afsp')
OF_WAV = (b'fmt ', b'data', *METADATA)
# Another file, or more samples.
MORE_SOUND = (b'RIFF', b'RIFX', b'RF64', b'BW64', b'FORM', b'data', b'SSND')
MORE_SOUND += (b'wavl', b'slnt')
TAGS = (b'TAG', b'ID3', b'APET')  # Of music players.


class ChunkError(ValueError):
  """A file that is not whole, or not read."""


class Chunk(NamedTuple):
  """A chunk.

  Attributes:
    name: 4 bytes.
    body: Where its contents begin.
    size: Their number of bytes, as it says.
  """

  name: bytes
  body: int
  size: int


def walk(contents: bytes, at: int, order: str) -> Iterator[Chunk]:
  """Yields the chunks from a place on, the last of which may be cut off.

  Args:
    contents: The file.
    at: Where the first one begins.
    order: Of the bytes of a size: `little` or `big`.
  """
  while at + 8 <= len(contents):
    chunk = _chunk(contents, at, order)
    yield chunk
    at = _after(contents, chunk)


def is_metadata(contents: bytes, at: int, order: str) -> bool:
  """Whether only chunks without sound follow, tags, or zeros, or nothing."""
  while at < len(contents):
    chunk = _chunk(contents, at, order)
    if chunk.name.startswith(TAGS):
      return True
    if not all(0x20 <= byte < 0x7F for byte in chunk.name):
      return not contents[at:].strip(b'\0')
    if chunk.name in METADATA:
      at = _after(contents, chunk)
    elif chunk.name in MORE_SOUND or len(contents) < chunk.body + chunk.size:
      return False
    else:
      at = _after(contents, chunk)
  return True


def check_rest(
  contents: bytes, start: int, end: int, order: str, block: int
) -> None:
  """Checks that no samples follow behind the end of the samples.

  Args:
    contents: The file.
    start: Of the samples.
    end: Of the samples, by their size.
    order: As in `walk`.
    block: Bytes of a frame: what is less is none.

  Raises:
    ChunkError: If more follows than chunks without sound, tags or zeros.
  """
  rest = len(contents) - end
  if rest < block or is_metadata(contents, end, order):
    return
  if (end - start) % 2 and is_metadata(contents, end + 1, order):
    return  # Behind a byte of padding.
  raise ChunkError(
    f'{rest} bytes behind the end of the samples that are no metadata: the'
    ' header may say less than there is'
  )


def _chunk(contents: bytes, at: int, order: str) -> Chunk:
  size = int.from_bytes(contents[at + 4 : at + 8], order)
  return Chunk(contents[at : at + 4], at + 8, size)


def _after(contents: bytes, chunk: Chunk) -> int:
  end = chunk.body + chunk.size
  has_padding = chunk.size % 2 and contents[end : end + 4] not in OF_WAV
  return end + 1 if has_padding else end
