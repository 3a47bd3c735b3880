"""Length of Opus streams in OGG (RFC 6716, RFC 7845), by their packets."""

from tff_asr.audio import ogg

# Samples of a frame at 48 kHz, by the upper five bits of a packet.
_FRAMES = (
  *(480, 960, 1_920, 2_880) * 3,
  *(480, 960) * 2,
  *(120, 240, 480, 960) * 4,
)
_HEADERS = 2
_PRE_SKIP = 10  # Where the header says how many samples come before the sound.
_RATE = 12  # Where it says which rate the encoder was given.
_FULL_RATE = 48_000


def check(contents: bytes) -> None:
  """Checks that the end by the last page is that of the packets.

  What is cut away may be the filling of the last packets, no more.

  Args:
    contents: A stream, whose pages are intact.

  Raises:
    OggError: If they differ.
  """
  total = longest = before = 0
  first = last = None
  packets = [*ogg.packets(contents)]
  head = packets[0][0] if packets else b''
  skipped = int.from_bytes(head[_PRE_SKIP : _PRE_SKIP + 2], 'little')
  for packet, page in packets[_HEADERS:]:
    if first is None:
      first = page
    if page.number == first.number:
      before += _samples(packet)
    total += _samples(packet)
    longest = max(longest, _samples(packet))
    last = page
  if first is None:
    return
  start = 0 if first == last else max(first.granule - before, 0)
  if start:  # libsndfile skips nothing then, and loses the end.
    raise ogg.OggError(
      f'an Opus stream that begins {start} samples late: encode it anew'
    )
  told = last.granule
  if not max(total - 2 * longest, skipped) <= told <= total:
    raise ogg.OggError(
      f'{total} samples of Opus at 48 kHz where the last page says {told}'
    )


def at_full_rate(contents: bytes) -> bytes:
  """Returns a stream that libsndfile decodes at 48 kHz.

  The rate in the header is for information only (RFC 7845, 5.1), but
  libsndfile decodes at about that rate, without the frequencies above its half.

  Args:
    contents: A stream, whose pages are intact.

  Raises:
    OggError: If its header is too short.
  """
  page = next(ogg.pages(contents))
  rate = _FULL_RATE.to_bytes(4, 'little')
  if page.end < page.body + _RATE + len(rate):
    raise ogg.OggError('an Opus header that is too short')
  return ogg.with_bytes(contents, page, page.body + _RATE, rate)


def _samples(packet: bytes) -> int:
  if not packet:
    return 0
  frame = _FRAMES[packet[0] >> 3]
  code = packet[0] & 3
  if code == 3:
    return frame * (packet[1] & 0x3F) if len(packet) > 1 else 0
  return frame * min(code + 1, 2)
