"""Chunks, of which WAV and AIFF files are made: name, size, contents."""

from collections.abc import Iterator
import enum
import re
from typing import NamedTuple

from tff_asr.audio import music_tags

# Without the sound.  They may be cut off a little, or lack their padding.
METADATA = (b'LIST', b'fact', b'id3 ', b'ID3 ', b'bext', b'cue ', b'PEAK')
METADATA += (b'JUNK', b'junk', b'PAD ', b'FLLR', b'smpl', b'iXML', b'afsp')
OF_WAV = (b'fmt ', b'data', *METADATA)
# Another file, or more samples.
MORE_SOUND = (b'RIFF', b'RIFX', b'RF64', b'BW64', b'FORM', b'data', b'SSND')
MORE_SOUND += (b'wavl', b'slnt')
TAGS = (b'TAG', b'ID3', b'APET', b'LYRI')  # Of music players.
MOST_CUT_OFF = 1_024  # Bytes.
NEAR_END = 2**16  # Bytes, in which metadata behind the samples is looked for.
MAX_NEAR_END = 64  # Names there that are looked at.
_NAMES = re.compile(b'|'.join((*METADATA, *TAGS)))


class ChunkError(ValueError):
  """A file that is not whole, or not read."""


class Rest(enum.Enum):
  """Kinds of bytes that follow from a place on."""

  METADATA = enum.auto()  # Chunks without sound, tags, zeros, or nothing.
  DAMAGE = enum.auto()  # A chunk with sound, or one that is far from whole.
  OTHER = enum.auto()  # Nothing that is known.


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


def rest(contents: bytes, at: int, order: str) -> Rest:
  """Returns what follows from a place on.

  Args:
    contents: The file.
    at: The place.
    order: As in `walk`.
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
  """Whether metadata follows somewhere behind samples of an unknown number.

  Args:
    contents: The file.
    start: Of the samples.
    order: As in `walk`.
  """
  start = max(start, len(contents) - NEAR_END)
  places = [name.start() for name in _NAMES.finditer(contents, start)]
  return any(
    rest(contents, at, order) is Rest.METADATA for at in places[-MAX_NEAR_END:]
  )


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
  more = len(contents) - end
  if more < block or rest(contents, end, order) is Rest.METADATA:
    return
  is_odd = (end - start) % 2  # A byte of padding.
  if is_odd and rest(contents, end + 1, order) is Rest.METADATA:
    return
  raise ChunkError(
    f'{more} bytes behind the end of the samples that are no metadata: the'
    ' header may say less than there is'
  )


def _holds_sound(contents: bytes, chunk: Chunk) -> bool:
  """Whether a chunk of metadata is a list of samples, or was cut before some.

  A list has a kind, and then chunks.
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
