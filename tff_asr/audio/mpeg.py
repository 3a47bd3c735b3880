"""Length of MP3 files (MPEG 1, 2 and 2.5, layer III).

An MP3 file is a sequence of frames, each with its own header.  Encoders may
write a first frame without sound that declares the number of frames ("Xing" or
"Info").  Without this frame libsndfile estimates the length from the size of
the file; the estimate is wrong for a variable bit rate and for a file that was
cut off.  This module counts the frames, adds a frame that declares their number
and removes all bytes that are not part of a frame.
"""

import dataclasses

from tff_asr.audio import music_tags

# Sample rates in Hz by the version bits of a header: 0 is MPEG 2.5, 2 is MPEG
# 2, 3 is MPEG 1.
_RATES = {
  0: (11_025, 12_000, 8_000),
  2: (22_050, 24_000, 16_000),
  3: (44_100, 48_000, 32_000),
}
_KILOBITS_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HAS_NUMBER_OF_FRAMES = 1


class MpegError(ValueError):
  """A sequence of frames is damaged or of a kind that is not supported."""


@dataclasses.dataclass(frozen=True)
class _Frame:
  """The header of a frame, which has 4 bytes.

  Attributes:
    size: Bytes of the frame, including the header.
    side_information: Bytes between the header (and its checksum) and the sound.
    kind: Version and rate, which are the same in all frames of a file.
  """

  size: int
  side_information: int
  kind: tuple[int, int]


def is_mpeg(contents: bytes) -> bool:
  """Returns whether a file begins like MPEG audio, after tags and zeros."""
  at = music_tags.after_leading(contents)
  return contents[at : at + 1] == b'\xff' and contents[at + 1 :][:1] >= b'\xe0'


def with_length(contents: bytes) -> bytes:
  """Returns an MP3 file that has only frames and declares their number.

  Args:
    contents: The file.

  Raises:
    MpegError: If the file has no frame, if the frames do not follow each other
      up to the end of the file, if the last frame is cut off, or if the number
      of frames differs from the declared one.  Tags and zeros before and after
      the frames are ignored.
  """
  start = music_tags.after_leading(contents)
  first = _frame(contents, start)
  if first is None:
    raise MpegError(_why_no_frame(contents[start : start + 4]))
  is_tag, declared = _declared(contents, start, first)
  sound = start + first.size if is_tag else start
  end, count = _count(contents, sound, first.kind)
  is_all = declared is not None and count >= declared
  _check_rest(contents, end, first.kind, is_all)
  frames = contents[sound:end]
  if declared is None:
    return _info_frame(contents, start, count) + frames
  if abs(count - declared) > 1:  # Some encoders also count the first frame.
    raise MpegError(f'{count} MPEG frames where the first says {declared}')
  head = bytearray(contents[start:sound])
  at = 4 + first.side_information + 8
  head[at : at + 4] = count.to_bytes(4, 'big')
  return bytes(head) + frames


def _count(
  contents: bytes, start: int, kind: tuple[int, int]
) -> tuple[int, int]:
  """Returns the end and the number of the frames that follow each other."""
  at, count = start, 0
  while (frame := _frame(contents, at)) and frame.kind == kind:
    if len(contents) < at + frame.size:
      raise MpegError('the last MPEG frame is cut off')
    at += frame.size
    count += 1
  return at, count


def _check_rest(
  contents: bytes, end: int, kind: tuple[int, int], is_all: bool
) -> None:
  """Checks that no sound follows after the frames.

  Args:
    contents: The file.
    end: End of the frames.
    kind: Kind of the frames.
    is_all: Whether the file has at least the declared number of frames.

  Raises:
    MpegError: If sound may follow.
  """
  if music_tags.are_all(contents, end):
    return
  if not is_all or _has_frames(contents, end, kind):
    raise MpegError(f'a damaged MPEG frame at byte {end}')


def _has_frames(contents: bytes, at: int, kind: tuple[int, int]) -> bool:
  """Returns whether two frames follow each other anywhere after a position."""
  while (at := contents.find(b'\xff', at)) >= 0:
    frame = _frame(contents, at)
    if frame and frame.kind == kind and _frame(contents, at + frame.size):
      return True
    at += 1
  return False


def _why_no_frame(header: bytes) -> str:
  """Returns the reason why a file with these first 4 bytes is not read."""
  if len(header) == 4 and header[0] == 0xFF and header[1] & 0xE0 == 0xE0:
    layer = {3: 'I', 2: 'II'}.get(header[1] >> 1 & 3)
    if layer:
      return f'MPEG audio of layer {layer} is not read (MP3, layer III, is)'
    if layer is None and header[2] >> 4 == 0:
      return 'MP3 of a free bit rate is not read'
  return 'does not begin with an MPEG frame of layer III'


def _frame(contents: bytes, at: int) -> _Frame | None:
  """Reads the header of the frame at a position; `None` if there is none."""
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


def _declared(
  contents: bytes, at: int, frame: _Frame
) -> tuple[bool, int | None]:
  """Returns whether a frame only declares a number of frames, and the number.

  The number is `None` if the frame does not declare it.
  """
  tag = contents[at + 4 + frame.side_information :][:12]
  if tag[:4] in (b'Xing', b'Info'):
    if int.from_bytes(tag[4:8], 'big') & _HAS_NUMBER_OF_FRAMES:
      return True, int.from_bytes(tag[8:12], 'big')
    return True, None
  # Another tag with the number of frames, which libsndfile does not read.
  return contents[at + 36 : at + 40] == b'VBRI', None


def _info_frame(contents: bytes, at: int, count: int) -> bytes:
  """Returns a frame that only declares the number of frames.

  Args:
    contents: The file.
    at: Position of a frame, whose header is copied.
    count: The number of frames.
  """
  header = bytearray(contents[at : at + 4])
  header[1] |= 1  # The new frame has no checksum.
  # This bit rate makes the frame long enough for the number at every rate.
  header[2] = header[2] & 0x0C | 0x90
  frame = _frame(header, 0)
  body = bytes(frame.side_information) + b'Info'
  body += _HAS_NUMBER_OF_FRAMES.to_bytes(4, 'big') + count.to_bytes(4, 'big')
  return bytes(header) + body.ljust(frame.size - 4, b'\0')
