"""Checks that OGG files are complete, because libsndfile ignores lost pages.

If several streams follow each other ("chained"), libsndfile reads only the
first.  This module separates the streams.
"""

from collections.abc import Iterator
from typing import NamedTuple
import zlib

_HEADER_BYTES = 27
_GRANULE = 6  # Position of the granule in a header.
_IS_FIRST, _IS_LAST = 2, 4
_BITS_REVERSED = bytes(int(f'{byte:08b}'[::-1], 2) for byte in range(256))
_KINDS = {b'\x01vorbis': 'Vorbis', b'OpusHead': 'Opus'}
_NAMES = {
  b'\x7fFLAC': 'FLAC',
  b'Speex': 'Speex',
  b'\x80theora': 'video',
  b'fishead': 'a skeleton',
}


_LONG = 255  # A packet continues after a piece of this many bytes.
_MORE = 2**20
_VORBIS_BLOCKS = 28  # Position of the sizes' logarithms in a header.


class OggError(ValueError):
  """An OGG file is incomplete, damaged or not supported."""


class Page(NamedTuple):
  """An intact page.

  Attributes:
    start: Position of the page in the file.
    body: Position of the page's first packet.
    end: Position after the page.
    flags: Bits of the header, such as first or last page of the stream.
    granule: Number of samples up to the end of the page.
    serial: Serial number of the stream.
    number: Number of the page in the stream.
  """

  start: int
  body: int
  end: int
  flags: int
  granule: int
  serial: bytes
  number: int


def streams(contents: bytes) -> list[tuple[str, bytes]]:
  """Returns the streams of a file, which follow each other.

  Args:
    contents: The file.

  Returns:
    For each stream, `Vorbis` or `Opus` and the part of the file.

  Raises:
    OggError: If a page is damaged or missing (RFC 3533), if streams overlap in
      time (multiplexed), or if a stream is neither Vorbis nor Opus.
  """
  found = []
  kind = first = before = None
  for page in pages(contents):
    is_first = bool(page.flags & _IS_FIRST)
    if is_first and before is None:
      kind, first = _kind(contents[page.body : page.end]), page
    elif before is None:
      raise OggError('the first OGG page is missing')
    elif is_first or page.serial != first.serial:
      raise OggError('OGG with several streams at the same time is not read')
    elif page.number != before.number + 1:
      raise OggError('an OGG page is missing')
    before = page
    if page.flags & _IS_LAST:
      found.append((kind, contents[first.start : page.end]))
      before = None
  if before is not None:
    raise OggError('the last OGG page is missing')
  return found


def pages(contents: bytes) -> Iterator[Page]:
  """Yields the pages of a file.

  Raises:
    OggError: If a page is damaged.
  """
  start = 0
  while start < len(contents):
    if not contents[start] and not contents[start:].strip(b'\0'):
      return  # Zeros after the last page.
    page = _page(contents, start)
    yield page
    start = page.end


def packets(contents: bytes) -> Iterator[tuple[bytes, Page]]:
  """Yields the packets of a stream, each with the page of its last byte."""
  packet = b''
  for page in pages(contents):
    at = page.body
    for size in contents[page.start + _HEADER_BYTES : page.body]:
      packet += contents[at : at + size]
      at += size
      if size < _LONG:
        yield packet, page
        packet = b''


def with_bytes(contents: bytes, page: Page, at: int, value: bytes) -> bytes:
  """Replaces bytes of a page and corrects the page's check sum.

  Args:
    contents: The file.
    page: A page of the file.
    at: Position of the bytes in the file; all of them are within the page.
    value: The new bytes.

  Returns:
    The changed file.
  """
  changed = bytearray(contents[page.start : page.end])
  changed[at - page.start : at - page.start + len(value)] = value
  changed[22:26] = bytes(4)
  changed[22:26] = _checksum(bytes(changed)).to_bytes(4, 'little')
  return contents[: page.start] + bytes(changed) + contents[page.end :]


def without_length(contents: bytes) -> bytes:
  """Returns a stream whose last page declares more samples than it has."""
  *_, page = pages(contents)
  granule = (page.granule + _MORE).to_bytes(8, 'little')
  return with_bytes(contents, page, page.start + _GRANULE, granule)


def longest_block(contents: bytes) -> int:
  """Returns the number of samples in the longest block of a Vorbis stream."""
  return 2 ** (next(packets(contents))[0][_VORBIS_BLOCKS] >> 4)


def _page(contents: bytes, start: int) -> Page:
  """Reads the page at a position."""
  header = contents[start : start + _HEADER_BYTES]
  if len(header) < _HEADER_BYTES or header[:4] != b'OggS':
    raise OggError('a damaged OGG page')
  body = start + _HEADER_BYTES + header[26]
  end = body + sum(contents[start + _HEADER_BYTES : body])
  page = contents[start : start + 22] + b'\0\0\0\0' + contents[start + 26 : end]
  checksum = int.from_bytes(header[22:26], 'little')
  if len(contents) < end or _checksum(page) != checksum:
    raise OggError('a damaged OGG page')
  granule, number = (
    int.from_bytes(header[at : at + size], 'little')
    for at, size in ((6, 8), (18, 4))
  )
  return Page(start, body, end, header[5], granule, header[14:18], number)


def _kind(packet: bytes) -> str:
  for start, kind in _KINDS.items():
    if packet.startswith(start):
      return kind
  names = [n for start, n in _NAMES.items() if packet.startswith(start)]
  raise OggError(
    f'OGG with {names[0] if names else "another encoding"} is not read'
    ' (Vorbis and Opus are)'
  )


def _checksum(page: bytes) -> int:
  """Returns the CRC-32 of an OGG page.

  OGG's CRC is zlib's with the most significant bit first and the start value 0.
  """
  crc = zlib.crc32(page.translate(_BITS_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
  return int(f'{crc:032b}'[::-1], 2)
