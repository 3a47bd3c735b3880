"""Checks that AIFF, AU and NIST SPHERE files are complete."""

import re

from tff_asr.audio import chunks

# Bytes of a sample by encoding; 0 if the format declares them.
_AIFF_WIDTHS = {
  b'NONE': 0,
  b'twos': 0,
  b'sowt': 0,
  b'raw ': 0,
  b'in24': 3,
  b'in32': 4,
  b'fl32': 4,
  b'FL32': 4,
  b'fl64': 8,
  b'FL64': 8,
  b'ulaw': 1,
  b'ULAW': 1,
  b'alaw': 1,
  b'ALAW': 1,
}
_AU_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
_AU_UNKNOWN = 0xFFFF_FFFF
_NIST = re.compile(rb'NIST_1A\n *(\d{1,6})\n')
_NIST_CODINGS = (b'pcm', b'ulaw', b'mu-law', b'alaw')


def frames(contents: bytes) -> int:
  """Returns the number of samples of each channel of a complete file.

  Args:
    contents: A file that begins with `FORM`, `.snd` or `NIST_1A`.

  Raises:
    ChunkError: If the file has fewer or more samples than its header declares,
      or an encoding that is not supported.
  """
  if contents[:4] == b'FORM':
    return _aiff(contents)
  if contents[:4] == b'.snd':
    return _au(contents)
  return _nist(contents)


def _aiff(contents: bytes) -> int:
  kind = contents[8:12]
  if kind not in (b'AIFF', b'AIFC'):
    raise chunks.ChunkError('IFF files other than AIFF are not read')
  found = {c.name: c for c in reversed([*chunks.walk(contents, 12, 'big')])}
  if not {b'COMM', b'SSND'} <= found.keys():
    raise chunks.ChunkError('an AIFF file without a format or samples')
  form, sound = found[b'COMM'], found[b'SSND']
  common = contents[form.body : form.body + form.size]
  channels, said, bits = (
    int.from_bytes(common[at : at + size], 'big')
    for at, size in ((0, 2), (2, 4), (6, 2))
  )
  encoding = common[18:22] if kind == b'AIFC' else b'NONE'
  if encoding not in _AIFF_WIDTHS:
    name = encoding.decode('latin-1')
    raise chunks.ChunkError(f'the encoding {name!r} in AIFF is not read')
  frame = channels * (_AIFF_WIDTHS[encoding] or -(-bits // 8))
  offset = int.from_bytes(contents[sound.body : sound.body + 4], 'big')
  start, end = sound.body + 8 + offset, sound.body + sound.size
  return _checked(contents, start, end, frame, said)


def _au(contents: bytes) -> int:
  start, size, encoding, _, channels = (
    int.from_bytes(contents[at : at + 4], 'big') for at in range(4, 24, 4)
  )
  if encoding not in _AU_WIDTHS:
    raise chunks.ChunkError(f'the encoding {encoding} in AU is not read')
  end = len(contents) if size == _AU_UNKNOWN else start + size
  return _checked(contents, start, end, channels * _AU_WIDTHS[encoding])


def _nist(contents: bytes) -> int:
  size = _NIST.match(contents)
  header = contents[: int(size[1]) if size else 0]
  said, channels, width = (
    int(found[1]) if found else 0
    for found in (
      re.search(rb'\n%s -[is]\d* (\d+)' % name, header)
      for name in (b'sample_count', b'channel_count', b'sample_n_bytes')
    )
  )
  coding = re.search(rb'\nsample_coding -s\d+ (\S+)', header)
  if coding and coding[1] not in _NIST_CODINGS:
    name = coding[1].decode('latin-1')
    raise chunks.ChunkError(f'the coding {name!r} in NIST SPHERE is not read')
  frame = channels * width
  return _checked(
    contents, len(header), len(header) + said * frame, frame, said
  )


def _checked(contents, start, end, frame, said=None) -> int:
  """Returns the number of frames between two positions.

  Raises:
    ChunkError: If samples are missing there or follow after the end.
  """
  if not frame or not 0 < start <= end:
    raise chunks.ChunkError('the header gives no length')
  if len(contents) < end:
    raise chunks.ChunkError(
      f'{len(contents)} bytes where the header says {end}'
    )
  number = (end - start) // frame
  if said is not None and number != said:
    raise chunks.ChunkError(f'{number} samples where the header says {said}')
  chunks.check_rest(contents, start, end, 'big', frame)
  return number
