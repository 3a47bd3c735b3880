"""Length of Opus streams in OGG (RFC 6716, RFC 7845), from their packets."""

from tff_asr.audio import ogg

# Samples of a frame at 48 kHz, by the upper 5 bits of a packet.
_FRAMES = (
  *(480, 960, 1_920, 2_880) * 3,
  *(480, 960) * 2,
  *(120, 240, 480, 960) * 4,
)
_HEADERS = 2
_PRE_SKIP = 10  # Position in the header: number of samples before the sound.
_RATE = 12  # Position in the header: sample rate of the encoder's input.
_FULL_RATE = 48_000


def check(contents: bytes) -> None:
  """Checks that the last page and the packets agree on the end of the stream.

  The last page may cut off the filling of the last packets, but no more.

  Args:
    contents: A stream with intact pages.

  Raises:
    OggError: If the last page and the packets differ, or if the stream does not
      begin at sample 0.
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
  if start:  # libsndfile would skip nothing at the start and lose the end.
    raise ogg.OggError(
      f'an Opus stream that begins {start} samples late: encode it again'
    )
  declared = last.granule
  if not max(total - 2 * longest, skipped) <= declared <= total:
    raise ogg.OggError(
      f'{total} samples of Opus at 48 kHz where the last page says {declared}'
    )


def at_full_rate(contents: bytes) -> bytes:
  """Returns a stream that libsndfile decodes at 48 kHz.

  The rate in the header is for information only (RFC 7845, 5.1).  However,
  libsndfile decodes at about that rate and loses the frequencies above half of
  the rate.

  Args:
    contents: A stream with intact pages.

  Raises:
    OggError: If the stream's header is too short.
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
