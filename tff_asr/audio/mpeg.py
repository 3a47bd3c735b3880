"""Length of MP3 files (MPEG 1, 2 and 2.5, layer III).

An MP3 file is a row of frames, each with a header of its own.  Encoders may put
a first frame without sound that tells their number ("Xing" or "Info"); without
it libsndfile estimates the length from the size of the file, which is wrong for
a variable bit rate and for a file that was cut off.  Here the frames are
counted, and what tells their number is added.
"""

import dataclasses

# By the version bits of a header: 0 is MPEG 2.5, 2 is MPEG 2, 3 is MPEG 1.
_RATES = {
  0: (11_025, 12_000, 8_000),
  2: (22_050, 24_000, 16_000),
  3: (44_100, 48_000, 32_000),
}
_KILOBITS_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HAS_NUMBER_OF_FRAMES = 1
_ID3V1_BYTES = 128
_APE_FOOTER_BYTES = 32


class MpegError(ValueError):
  """A row of frames that is broken."""


@dataclasses.dataclass(frozen=True)
class _Frame:
  """What the four bytes of a frame's header say.

  Attributes:
    size: Bytes of the frame, the header included.
    side_information: Bytes between the header (and its checksum) and the sound.
    kind: What is the same in all frames of a file: version, layer and rate.
  """

  size: int
  side_information: int
  kind: tuple[int, int]


def with_length(contents: bytes) -> bytes:
  """Returns an MP3 file that tells the number of its frames.

  Args:
    contents: The file.

  Raises:
    MpegError: If there is no frame, the frames do not follow each other up to
      the end of the file, the last one is not whole, or there are not as many
      as the file says.
  """
  start = _after_id3v2(contents)
  first = _frame(contents, start)
  if first is None:
    raise MpegError('does not begin with an MPEG frame of layer III')
  is_tag, told = _told(contents, start, first)
  sound = start + first.size if is_tag else start
  if told is None:
    count = _count(contents, sound)
    return _info_frame(contents, start, count) + contents[sound:]
  try:
    count = _count(contents, sound)
  except MpegError:
    return contents  # What is decoded shows whether the sound is damaged.
  if abs(count - told) > 1:  # Some count the frame that tells.
    raise MpegError(f'{count} MPEG frames where the first says {told}')
  return contents


def _count(contents: bytes, start: int) -> int:
  """Counts the frames from here to the end of the file."""
  end = _before_tags(contents)
  first = _frame(contents, start)
  at, count = start, 0
  while at < end:
    frame = _frame(contents, at)
    if frame is None or frame.kind != first.kind:
      raise MpegError(f'a damaged MPEG frame at byte {at}')
    at += frame.size
    count += 1
  if at > end:
    raise MpegError('the last MPEG frame is not whole')
  return count


def _frame(contents: bytes, at: int) -> _Frame | None:
  """Reads the header of the frame that begins here."""
  header = contents[at : at + 4]
  if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
    return None
  version = header[1] >> 3 & 3
  bit_rate, rate = header[2] >> 4, header[2] >> 2 & 3
  if version == 1 or rate == 3 or bit_rate in (0, 15):
    return None
  is_mpeg_1, is_mono = version == 3, header[3] >> 6 == 3
  kilobits = (_KILOBITS_1 if is_mpeg_1 else _KILOBITS_2)[bit_rate - 1]
  padding = header[2] >> 1 & 1
  samples_by_8 = 144 if is_mpeg_1 else 72
  size = samples_by_8 * kilobits * 1_000 // _RATES[version][rate] + padding
  side = (17 if is_mono else 32) if is_mpeg_1 else (9 if is_mono else 17)
  return _Frame(size, side, (version, rate))


def _told(contents: bytes, at: int, frame: _Frame) -> tuple[bool, int | None]:
  """Whether the frame that begins here is for telling, and the number."""
  tag = contents[at + 4 + frame.side_information :][:12]
  if tag[:4] in (b'Xing', b'Info'):
    if int.from_bytes(tag[4:8], 'big') & _HAS_NUMBER_OF_FRAMES:
      return True, int.from_bytes(tag[8:12], 'big')
    return True, None
  # Another such tag, which libsndfile does not read.
  return contents[at + 36 : at + 40] == b'VBRI', None


def _info_frame(contents: bytes, at: int, count: int) -> bytes:
  """A frame like the one that begins here, which only tells a number."""
  header = bytearray(contents[at : at + 4])
  header[1] |= 1  # No checksum.
  header[2] = header[2] & 0x0C | 0x90  # Long enough at every rate.
  frame = _frame(header, 0)
  body = bytes(frame.side_information) + b'Info'
  body += _HAS_NUMBER_OF_FRAMES.to_bytes(4, 'big') + count.to_bytes(4, 'big')
  return bytes(header) + body.ljust(frame.size - 4, b'\0')


def _after_id3v2(contents: bytes) -> int:
  """Where the frames begin: after tags with the name of the piece and such."""
  at = 0
  while contents[at : at + 3] == b'ID3' and len(contents) >= at + 10:
    size = 0
    for byte in contents[at + 6 : at + 10]:
      size = size << 7 | byte & 0x7F
    at += 10 + size
  return at


def _before_tags(contents: bytes) -> int:
  """Where the frames end: before tags of the kinds ID3v1 and APE."""
  end = len(contents)
  if contents[-_ID3V1_BYTES:][:3] == b'TAG':
    end -= _ID3V1_BYTES
  footer = contents[max(0, end - _APE_FOOTER_BYTES) : end]
  if footer[:8] == b'APETAGEX':
    has_header = footer[23] & 0x80
    end -= int.from_bytes(footer[12:16], 'little')
    end -= _APE_FOOTER_BYTES if has_header else 0
  return end
