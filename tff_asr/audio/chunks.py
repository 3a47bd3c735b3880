"""Chunks of WAV and AIFF files, each with a name, a size and contents."""

from collections.abc import Iterator
import enum
import re
from typing import NamedTuple

from tff_asr.audio import music_tags

# Chunks without sound.  The last one may be cut off by a few bytes or lack its
# padding.
METADATA = (b'LIST', b'fact', b'id3 ', b'ID3 ', b'bext', b'cue ', b'PEAK')
METADATA += (b'JUNK', b'junk', b'PAD ', b'FLLR', b'smpl', b'iXML', b'afsp')
OF_WAV = (b'fmt ', b'data', *METADATA)
# Chunks that begin another file or more samples.
MORE_SOUND = (b'RIFF', b'RIFX', b'RF64', b'BW64', b'FORM', b'data', b'SSND')
MORE_SOUND += (b'wavl', b'slnt')
TAGS = (b'TAG', b'ID3', b'APET', b'LYRI')  # Tags of music players.
MOST_CUT_OFF = 1_024  # Most bytes that metadata may lack.
NEAR_END = 2**16  # Bytes at the end of a file that are searched for metadata.
MAX_NEAR_END = 64  # Most names in these bytes that are tried.
_NAMES = re.compile(b'|'.join((*METADATA, *TAGS)))


class ChunkError(ValueError):
  """A file is incomplete, or of a kind that is not supported."""


class Rest(enum.Enum):
  """Kinds of bytes between a position and the end of a file."""

  METADATA = enum.auto()  # Chunks without sound, tags, zeros, or nothing.
  DAMAGE = enum.auto()  # A chunk with sound, or a chunk that lacks many bytes.
  OTHER = enum.auto()  # Unknown bytes.


class Chunk(NamedTuple):
  """A chunk.

  Attributes:
    name: Name of 4 bytes.
    body: Position of the first byte of the contents.
    size: Declared size of the contents in bytes.
  """

  name: bytes
  body: int
  size: int


def walk(contents: bytes, at: int, order: str) -> Iterator[Chunk]:
  """Yields the chunks from a position to the end; the last may be cut off.

  Args:
    contents: The file.
    at: Position of the first chunk.
    order: Byte order of a size: `little` or `big`.
  """
  while at + 8 <= len(contents):
    chunk = _chunk(contents, at, order)
    yield chunk
    at = _after(contents, chunk)


def rest(contents: bytes, at: int, order: str) -> Rest:
  """Returns the kind of the bytes from a position to the end of a file.

  Args:
    contents: The file.
    at: The position.
    order: Byte order, as in `walk`.
  """
  while at < len(contents):
    chunk = _chunk(contents, at, order)
    is_known = chunk.name in METADATA
    is_tag = chunk.name.startswith(TAGS) and not is_known
    if is_tag or not all(0x20 <= byte < 0x7F for byte in chunk.name):
      are_tags = music_tags.are_all(contents, at)
      return Rest.METADATA if are_tags else Rest.OTHER
    missing = chunk.body + chunk.size - len(contents)
    if chunk.name in MORE_SOUND or (is_known and _holds_sound(contents, chunk)):
      return Rest.DAMAGE
    if missing > 0 and not is_known:
      return Rest.OTHER
    if missing > MOST_CUT_OFF:
      return Rest.DAMAGE
    at = _after(contents, chunk)
  return Rest.METADATA


def is_near_end(contents: bytes, start: int, order: str) -> bool:
  """Returns whether a file with an unknown number of samples ends in metadata.

  Args:
    contents: The file.
    start: Position of the first sample.
    order: Byte order, as in `walk`.
  """
  start = max(start, len(contents) - NEAR_END)
  places = [name.start() for name in _NAMES.finditer(contents, start)]
  return any(
    rest(contents, at, order) is Rest.METADATA for at in places[-MAX_NEAR_END:]
  )


def check_rest(
  contents: bytes, start: int, end: int, order: str, block: int
) -> None:
  """Checks that no samples follow after the declared end of the samples.

  Args:
    contents: The file.
    start: Position of the first sample.
    end: End of the samples according to their declared size.
    order: Byte order, as in `walk`.
    block: Bytes of a frame; fewer bytes cannot hold a sample of each channel.

  Raises:
    ChunkError: If bytes follow that are not chunks without sound, tags or
      zeros.
  """
  more = len(contents) - end
  if more < block or rest(contents, end, order) is Rest.METADATA:
    return
  is_odd = (end - start) % 2  # A byte of padding.
  if is_odd and rest(contents, end + 1, order) is Rest.METADATA:
    return
  raise ChunkError(
    f'{more} bytes after the end of the samples that are not metadata: the'
    ' header may declare too few samples'
  )


def _holds_sound(contents: bytes, chunk: Chunk) -> bool:
  """Returns whether a metadata chunk holds samples.

  The chunk is then a list of samples, or it was cut off and samples follow.  A
  list has a kind, followed by chunks.
  """
  if len(contents) < chunk.body + chunk.size:
    return contents.find(b'data', chunk.body) >= 0
  names = (contents[at : at + 4] for at in (chunk.body, chunk.body + 4))
  return chunk.name == b'LIST' and any(name in MORE_SOUND for name in names)


def _chunk(contents: bytes, at: int, order: str) -> Chunk:
  size = int.from_bytes(contents[at + 4 : at + 8], order)
  return Chunk(contents[at : at + 4], at + 8, size)


def _after(contents: bytes, chunk: Chunk) -> int:
  end = chunk.body + chunk.size
  has_padding = chunk.size % 2 and contents[end : end + 4] not in OF_WAV
  return end + 1 if has_padding else end
