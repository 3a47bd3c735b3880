"""Wholeness of OGG files: libsndfile does not mind lost pages."""

import zlib

_HEADER_BYTES = 27
_IS_LAST = 4
_BITS_REVERSED = bytes(int(f'{byte:08b}'[::-1], 2) for byte in range(256))


class OggError(ValueError):
  """A file that is not whole."""


def check(contents: bytes) -> None:
  """Checks that every page is intact and the last one there (RFC 3533).

  Raises:
    OggError: If not.
  """
  start, is_last = 0, False
  while start < len(contents):
    header = contents[start : start + _HEADER_BYTES]
    if len(header) < _HEADER_BYTES or header[:4] != b'OggS':
      raise OggError('a damaged OGG page')
    body = start + _HEADER_BYTES + header[26]
    end = body + sum(contents[start + _HEADER_BYTES : body])
    page = (
      contents[start : start + 22] + b'\0\0\0\0' + contents[start + 26 : end]
    )
    checksum = int.from_bytes(header[22:26], 'little')
    if len(contents) < end or _checksum(page) != checksum:
      raise OggError('a damaged OGG page')
    start, is_last = end, bool(header[5] & _IS_LAST)
  if not is_last:
    raise OggError('the last OGG page is missing')


def _checksum(page: bytes) -> int:
  """CRC-32 of an OGG page: zlib's, most significant bit first, from zero."""
  crc = zlib.crc32(page.translate(_BITS_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
  return int(f'{crc:032b}'[::-1], 2)
