"""Checks that WAV files are complete: RIFF, RIFX, RF64 and BW64.

The sizes in a header are often wrong although the sound is complete.  A
recorder that writes to a pipe cannot return to fill in the sizes: it leaves 0,
or a size that no file has.  Other recorders are wrong by the size of the
header.  A file is damaged only if samples are missing, or if it has samples
that no size includes.  `tff_asr.serving.wav` applies the same rules inside a
graph.
"""

import struct
from typing import NamedTuple

from tff_asr.audio import chunks

PCM = 1
EXTENSIBLE = 0xFFFE  # The encoding is then at a later position.
STREAMED = 0x7FFF_F000  # Sizes from this value on, and 0, mean "unknown".
# Bytes by which the first size may be too large: header and padding.
RIFF_SLACK = 9

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
_DS64_DATA = 8  # Position of the samples' size in a `ds64` chunk.
_IN_DS64 = 0xFFFF_FFFF
_MOST_BYTES = 2**32


class _Format(NamedTuple):
  """A `fmt ` chunk.

  Attributes:
    encoding: Number of the encoding.
    channels: Number of channels.
    rate: Sample rate in Hz.
    block: Bytes of a frame, or of a block of frames.
    width: Bytes of a sample, or 0 if the encoding has blocks of samples.
    body: Contents of the chunk for libsndfile.
  """

  encoding: int
  channels: int
  rate: int
  block: int
  width: int
  body: bytes


def whole(contents: bytes) -> bytes:
  """Returns a WAV file that has only a format and samples, with correct sizes.

  Args:
    contents: A file that begins with `RIFF`, `RIFX`, `RF64` or `BW64`.

  Raises:
    ChunkError: If the file has fewer or more samples than its header declares,
      or an encoding that is not supported.
  """
  order = 'big' if contents[:4] == b'RIFX' else 'little'
  if contents[8:12] != b'WAVE':
    raise chunks.ChunkError('a RIFF file that is not a WAV file')
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
  """Returns the declared number of samples of each channel, or `None`.

  Only a file with an encoding in blocks declares this number.

  Args:
    contents: A file from `whole`.
  """
  order = 'big' if contents[:4] == b'RIFX' else 'little'
  for chunk in chunks.walk(contents, 12, order):
    if chunk.name == b'fact':
      return int.from_bytes(contents[chunk.body : chunk.body + 4], order)
  return None


def _end(contents, found, form, order) -> int:
  """Returns the position after the last sample."""
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
        'an empty chunk of samples before a chunk with samples, or before'
        ' damage'
      )
    is_meant = rest is chunks.Rest.METADATA
  else:
    is_meant = said <= there or said < STREAMED
  riff = int.from_bytes(contents[4:8], order)
  if said == riff and 0 <= len(contents) - said <= 8:
    is_meant = False  # The recorder wrote the size of the file instead.
  if not is_meant:
    end = 8 + riff
    if data.body < end and riff < STREAMED and len(contents) + RIFF_SLACK < end:
      raise chunks.ChunkError(_missing(contents, end))
    if chunks.is_near_end(contents, data.body, order):
      raise chunks.ChunkError(
        'metadata after samples whose number the header does not declare'
      )
    return len(contents)
  frame = form.block if form.width else 1  # No byte of a block may be missing.
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
  """Returns the `fact` chunk (number of samples) if its number is possible.

  Only encodings in blocks need this chunk.
  """
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
