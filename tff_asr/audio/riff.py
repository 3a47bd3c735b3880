"""Wholeness of WAV files: RIFF, RIFX, RF64 and BW64.

The sizes in a header are often wrong while all sound is there.  A recorder that
writes to a pipe cannot go back to fill them in: it leaves 0, or a size that no
file has.  Others are off by the header.  Only samples that are missing, or that
no size counts, are damage.  `tff_asr.serving.wav` reads files by the same rules
inside a graph.
"""

import struct
from typing import NamedTuple

from tff_asr.audio import chunks

PCM = 1
EXTENSIBLE = 0xFFFE  # The encoding then stands further back.
STREAMED = 0x7FFF_F000  # Sizes from here on are not meant, nor is 0.
RIFF_SLACK = 9  # Bytes that the first size may be too large: header, padding.

_FLOAT = 3
_LINEAR = {PCM: (1, 2, 3, 4), _FLOAT: (4, 8), 6: (1,), 7: (1,)}
_MS_ADPCM, _IMA_ADPCM, _GSM = 2, 0x11, 0x31
_BLOCKS = (_MS_ADPCM, _IMA_ADPCM, _GSM)
_NAMES = {
  0x10: 'OKI ADPCM',
  0x14: 'G.723 ADPCM',
  0x17: 'Dialogic OKI ADPCM (VOX)',
  0x22: 'TrueSpeech',
  0x38: 'NMS VBXADPCM',
  0x40: 'G.721 ADPCM',
  0x42: 'G.723.1',
  0x45: 'G.726 ADPCM',
  0x50: 'MPEG layer I or II',
  0x55: 'MP3',
  0x83: 'G.729',
  0x160: 'Windows Media Audio',
  0x161: 'Windows Media Audio',
}
_DS64_DATA = 8  # Where the size of the samples stands in a `ds64` chunk.
_IN_DS64 = 0xFFFF_FFFF
_MOST_BYTES = 2**32


class _Format(NamedTuple):
  """A `fmt ` chunk.

  Attributes:
    encoding: Its number.
    channels: How many.
    rate: In Hz.
    block: Bytes of a frame of samples, or of a block of them.
    width: Bytes of a sample, where an encoding is of single samples, or 0.
    body: What libsndfile is to read of it.
  """

  encoding: int
  channels: int
  rate: int
  block: int
  width: int
  body: bytes


def whole(contents: bytes) -> bytes:
  """Returns a WAV file of a format and samples alone, of the right sizes.

  Args:
    contents: A file which begins with `RIFF`, `RIFX`, `RF64` or `BW64`.

  Raises:
    ChunkError: If there are fewer samples, or more, than the file says, or it
      is of an encoding that is not read.
  """
  order = 'big' if contents[:4] == b'RIFX' else 'little'
  if contents[8:12] != b'WAVE':
    raise chunks.ChunkError('a RIFF file that is no WAV file')
  found = {}
  for chunk in chunks.walk(contents, 12, order):
    if chunk.name == b'LIST' and contents[chunk.body :][:4] == b'wavl':
      raise chunks.ChunkError('a WAV file with its samples in several chunks')
    found.setdefault(chunk.name, chunk)
    if chunk.name == b'data':
      break
  if b'fmt ' not in found:
    raise chunks.ChunkError('a WAV file without a format')
  if b'data' not in found:
    raise chunks.ChunkError('a WAV file without samples')
  form = _format(contents, found[b'fmt '], order)
  start = found[b'data'].body
  end = _end(contents, found, form, order)
  return _file(
    contents[:4] if order == 'big' else b'RIFF',
    order,
    (b'fmt ', form.body),
    *_fact(contents, found.get(b'fact'), form, end - start, order),
    (b'data', contents[start:end]),
  )


def frames(contents: bytes) -> int | None:
  """Number of samples of each channel that `whole` left a file to say, if so.

  Args:
    contents: A file from `whole`.
  """
  order = 'big' if contents[:4] == b'RIFX' else 'little'
  for chunk in chunks.walk(contents, 12, order):
    if chunk.name == b'fact':
      return int.from_bytes(contents[chunk.body : chunk.body + 4], order)
  return None


def _end(contents, found, form, order) -> int:
  """Where the samples end."""
  data = found[b'data']
  said, there = data.size, len(contents) - data.body
  if said == _IN_DS64 and b'ds64' in found:
    at = found[b'ds64'].body + _DS64_DATA
    said = int.from_bytes(contents[at : at + 8], 'little')
    if said >= 2**63:
      said = 0
  if said == 0:
    rest = chunks.rest(contents, data.body, order)
    if rest is chunks.Rest.DAMAGE:
      raise chunks.ChunkError(
        'a chunk without samples before one with some, or before damage'
      )
    is_meant = rest is chunks.Rest.METADATA
  else:
    is_meant = said <= there or said < STREAMED
  riff = int.from_bytes(contents[4:8], order)
  if said == riff and 0 <= len(contents) - said <= 8:
    is_meant = False  # The size of the file.
  if not is_meant:
    end = 8 + riff
    if data.body < end and riff < STREAMED and len(contents) + RIFF_SLACK < end:
      raise chunks.ChunkError(_missing(contents, end))
    if chunks.is_near_end(contents, data.body, order):
      raise chunks.ChunkError(
        'metadata behind samples whose number the header does not say'
      )
    return len(contents)
  frame = form.block if form.width else 1  # Of a block, no byte may be lost.
  if there // frame < said // frame:
    raise chunks.ChunkError(_missing(contents, data.body + said))
  end = min(data.body + said, len(contents))
  chunks.check_rest(contents, data.body, end, order, frame)
  return end


def _missing(contents, end) -> str:
  return f'{len(contents)} bytes where the header says {end}'


def _format(contents, chunk, order) -> _Format:
  """Reads the `fmt ` chunk."""
  body = contents[chunk.body : chunk.body + chunk.size]
  if len(body) < 16:
    raise chunks.ChunkError('a WAV file without a format')
  mark = '>' if order == 'big' else '<'
  encoding, channels, rate, _, block, bits = struct.unpack(
    f'{mark}HHIIHH', body[:16]
  )
  if encoding == EXTENSIBLE and len(body) >= 26:
    (encoding,) = struct.unpack(f'{mark}H', body[24:26])
  if not channels:
    raise chunks.ChunkError('no channels')
  if encoding in _BLOCKS and order == 'little' and block and len(body) >= 20:
    return _Format(encoding, channels, rate, block, 0, body)
  width = -(-bits // 8)
  if width not in _LINEAR.get(encoding, ()):
    name = _NAMES.get(encoding, f'the encoding {encoding:#x}')
    if encoding in _LINEAR or encoding in _BLOCKS:
      name = f'{bits} bits of the encoding {encoding:#x}'
    raise chunks.ChunkError(f'{name} in WAV is not read')
  if block not in (0, channels * width):
    raise chunks.ChunkError(
      f'frames of {block} bytes for {channels} channels of {bits} bits'
    )
  block = channels * width
  canonical = struct.pack(
    f'{mark}HHIIHH',
    encoding,
    channels,
    rate,
    min(rate * block, 2**32 - 1),
    min(block, 2**16 - 1),
    8 * width,
  )
  return _Format(encoding, channels, rate, block, width, canonical)


def _fact(contents, chunk, form, size, order) -> list[tuple[bytes, bytes]]:
  """The number of samples of an encoding in blocks, if it can be true."""
  if form.width or chunk is None or chunk.size < 4:
    return []
  fact = contents[chunk.body : chunk.body + 4]
  each = int.from_bytes(form.body[18:20], order)
  blocks = -(-size // form.block)
  is_true = (blocks - 1) * each < int.from_bytes(fact, order) <= blocks * each
  return [(b'fact', fact)] if is_true else []


def _file(name, order, *parts) -> bytes:
  body = [b'WAVE']
  for chunk, text in parts:
    body += [chunk, len(text).to_bytes(4, order), text, bytes(len(text) % 2)]
  size = sum(map(len, body))
  if size >= _MOST_BYTES:
    raise chunks.ChunkError('a WAV file of more than 4 GB is not read')
  return b''.join([name, size.to_bytes(4, order), *body])
