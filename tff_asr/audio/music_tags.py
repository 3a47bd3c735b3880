"""Tags of music players before and after the sound: ID3, APE, Lyrics3."""

import re

_ZEROS = re.compile(rb'\0*')
_ID3V2_BYTES = 10
_HAS_FOOTER = 0x10
_ID3V1 = {b'TAG+': 227, b'TAG': 128}
_APE = b'APETAGEX'
_APE_BYTES = 32
_APE_IS_HEADER = 0x20
_LYRICS = (b'LYRICSBEGIN', (b'LYRICSEND', b'LYRICS200'))


def after_leading(contents: bytes) -> int:
  """Returns the start of the sound: the end of leading zeros and sized tags."""
  at = 0
  while True:
    size = _id3v2(contents, at) or _ape(contents, at) or _zeros(contents, at)
    if not size:
      return at
    at += size


def are_all(contents: bytes, at: int) -> bool:
  """Returns whether only complete tags and zeros follow after a position."""
  while at < len(contents):
    size = (
      _zeros(contents, at)
      or _id3v2(contents, at)
      or _ape(contents, at)
      or _lyrics(contents, at)
      or _id3v1(contents, at)
    )
    if not size or len(contents) < at + size:
      return False
    at += size
  return True


def _zeros(contents: bytes, at: int) -> int:
  return _ZEROS.match(contents, at).end() - at


def _id3v2(contents: bytes, at: int) -> int:
  if contents[at : at + 3] != b'ID3' or len(contents) < at + _ID3V2_BYTES:
    return 0
  size = 0
  for byte in contents[at + 6 : at + 10]:
    size = size << 7 | byte & 0x7F
  has_footer = contents[at + 5] & _HAS_FOOTER
  return size + _ID3V2_BYTES * (2 if has_footer else 1)


def _ape(contents: bytes, at: int) -> int:
  """Returns the bytes of an APE tag, with a header or only a footer, or 0."""
  if _is_ape(contents, at) and contents[at + 23] & _APE_IS_HEADER:
    return _APE_BYTES + int.from_bytes(contents[at + 12 : at + 16], 'little')
  # The size in a footer includes the footer.
  footer = contents.find(_APE, at)
  if footer < 0 or not _is_ape(contents, footer):
    return 0
  size = int.from_bytes(contents[footer + 12 : footer + 16], 'little')
  end = footer + _APE_BYTES
  return end - at if end - size == at else 0


def _is_ape(contents: bytes, at: int) -> bool:
  return contents[at : at + 8] == _APE and len(contents) >= at + _APE_BYTES


def _lyrics(contents: bytes, at: int) -> int:
  begin, ends = _LYRICS
  if not contents.startswith(begin, at):
    return 0
  found = [f for f in (contents.find(end, at) for end in ends) if f >= 0]
  return min(found) + len(ends[0]) - at if found else 0


def _id3v1(contents: bytes, at: int) -> int:
  return next(
    (n for name, n in _ID3V1.items() if contents.startswith(name, at)), 0
  )
