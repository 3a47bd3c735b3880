"""No sound is shorter than its file, of whatever kind: whole, or refused."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import soundfile

from tff_asr.audio import decoding, ogg

READ = {
  ('WAV', s)
  for s in (
    *('PCM_16', 'PCM_24', 'PCM_32', 'PCM_U8', 'FLOAT', 'DOUBLE', 'ULAW'),
    *('ALAW', 'IMA_ADPCM', 'MS_ADPCM', 'GSM610'),
  )
}
READ |= {
  (f, s)
  for f in ('WAVEX', 'RF64')
  for s in (
    *('PCM_16', 'PCM_24', 'PCM_32', 'PCM_U8', 'FLOAT', 'DOUBLE', 'ULAW'),
    'ALAW',
  )
}
READ |= {('FLAC', s) for s in ('PCM_S8', 'PCM_16', 'PCM_24')}
READ |= {('OGG', 'VORBIS'), ('OGG', 'OPUS'), ('MP3', 'MPEG_LAYER_III')}
_LINEAR = ('PCM_S8', 'PCM_16', 'PCM_24', 'PCM_32', 'FLOAT', 'DOUBLE')
READ |= {('AIFF', s) for s in (*_LINEAR, 'PCM_U8', 'ULAW', 'ALAW')}
READ |= {('AU', s) for s in (*_LINEAR, 'ULAW', 'ALAW')}
READ |= {('NIST', s) for s in (*_LINEAR[:4], 'ULAW', 'ALAW')}
ALL = [
  (kind, encoding)
  for kind in soundfile.available_formats()
  for encoding in soundfile.available_subtypes(kind)
]
# Of the sound; where there are few bits, a model of speech, or a delay of less
# than a sample.
TOLERANCES = {'GSM610': 0.1, 'IMA_ADPCM': 0.05, 'OPUS': 0.1}
# Encoders fill up the last block.
LOSSY = {'PCM_S8', 'PCM_U8', 'ULAW', 'ALAW', 'MS_ADPCM', 'VORBIS', 'OPUS'}
LOSSY |= {'MPEG_LAYER_III'}
FILLED = {'IMA_ADPCM', 'MS_ADPCM', 'GSM610'}


def tone(samples, rate=16_000):
  sound = 0.4 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate)
  return sound * np.minimum(1, np.arange(samples)[::-1] / 800)


def encode(kind, encoding, samples=16_000, channels=1, endian=None):
  contents = io.BytesIO()
  sound = np.stack([tone(samples)] * channels, 1)
  soundfile.write(contents, sound, 16_000, encoding, endian, kind)
  return contents.getvalue()


def length(contents):
  """Samples that are decoded, or none where the file is refused."""
  try:
    return len(decoding.decode(contents))
  except decoding.AudioError as error:
    assert str(error) and '\n' not in str(error)
    return None


@pytest.mark.parametrize(('kind', 'encoding'), ALL)
def test_every_kind_is_read_whole_or_named_as_not_read(
  kind, encoding, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)  # SD2 is written beside the file, too.
  try:
    contents = encode(kind, encoding)
  except soundfile.LibsndfileError:
    contents = b''  # Such a one cannot be made.
  if (kind, encoding) not in READ:
    with pytest.raises(decoding.AudioError, match=r'not read|empty file'):
      decoding.decode(contents)
    return
  sound = decoding.decode(contents) / 2**15
  assert 0 <= len(sound) - 16_000 <= (600 if encoding in FILLED else 0)
  error = np.linalg.norm(sound[:16_000] - tone(16_000))
  bound = TOLERANCES.get(encoding, 0.02 if encoding in LOSSY else 1e-4)
  assert error <= bound * np.linalg.norm(tone(16_000))


@pytest.mark.parametrize(
  ('kind', 'encoding', 'channels', 'endian'),
  [
    ('WAV', 'PCM_16', 1, 'BIG'),  # RIFX
    ('WAV', 'PCM_24', 2, 'BIG'),
    ('WAV', 'FLOAT', 3, 'BIG'),
    ('WAV', 'PCM_24', 6, None),
    ('WAV', 'MS_ADPCM', 2, None),
    ('AIFF', 'PCM_16', 2, 'LITTLE'),
    ('AU', 'PCM_24', 2, None),
    ('NIST', 'PCM_16', 2, 'LITTLE'),
    ('FLAC', 'PCM_16', 8, None),
  ],
)
def test_any_number_of_channels_and_order_of_bytes(
  kind, encoding, channels, endian
):
  sound = decoding.decode(encode(kind, encoding, 16_000, channels, endian))
  np.testing.assert_allclose(sound[:16_000] / 2**15, tone(16_000), atol=0.01)


@pytest.mark.parametrize(('kind', 'encoding'), sorted(READ))
def test_a_cut_file_is_refused_wherever_it_is_cut(kind, encoding):
  contents = encode(kind, encoding, 8_000)
  whole = length(contents)
  rng = np.random.default_rng(0)
  places = rng.integers(0, len(contents), 25)
  for kept in (*places, len(contents) - 400, len(contents) - 60):
    found = length(contents[:kept])
    # What is behind the sound in some kinds is none.
    is_behind = kind in ('RF64', 'AIFF', 'WAV', 'WAVEX') and found == whole
    assert found is None or is_behind, kept


def replaced(contents, at, size, value, order):
  return contents[:at] + value.to_bytes(size, order) + contents[at + size :]


def with_promise(kind, contents, share):
  """The file, whose header says that it has a share of its length."""
  if kind in ('WAV', 'WAVEX'):
    at = contents.index(b'data') + 4
    order = 'little'
  elif kind == 'AU':
    at, order = 8, 'big'
  elif kind == 'AIFF':
    at, order = contents.index(b'SSND') + 4, 'big'
  elif kind == 'RF64':
    at, order = contents.index(b'ds64') + 16, 'little'
  elif kind == 'FLAC':
    at, order = 22, 'big'
  elif kind == 'NIST':
    old = f'sample_count -i {8_000}\n'.encode()
    new = f'sample_count -i {int(8_000 * share)}\n'.encode()
    assert old in contents
    return contents.replace(old, new).replace(b'end_head\n', b'end_head', 1)
  elif kind == 'OGG':
    page = [*ogg.pages(contents)][-1]
    granule = int(page.granule * share).to_bytes(8, 'little')
    return ogg.with_bytes(contents, page, page.start + 6, granule)
  else:
    at, order = contents.index(b'Xing') + 8, 'big'
  size = int.from_bytes(contents[at : at + 4], order)
  unit = 24 if size > 1_000 else 1  # Whole frames.
  return replaced(contents, at, 4, int(size * share) // unit * unit, order)


@pytest.mark.parametrize(('kind', 'encoding'), sorted(READ))
@pytest.mark.parametrize('share', [0.02, 0.3, 0.5, 0.9, 1.1, 2.0])
def test_a_header_that_promises_another_length(kind, encoding, share):
  contents = encode(kind, encoding, 8_000)
  whole = length(contents)
  found = length(with_promise(kind, contents, share))
  # Which part of its last block is meant, a file alone can say.
  block = {'VORBIS': 1_024, 'OPUS': 640}.get(encoding, 0)
  assert found is None or found >= whole - block


WAV = encode('WAV', 'PCM_16', 8_000)
LIST = b'LIST\x05\0\0\0INFO1'


def with_sizes(riff=None, data=None, contents=WAV):
  """A WAV file whose header says something else of the sizes."""
  sizes = {4: riff, contents.index(b'data') + 4: data}
  for at, size in sizes.items():
    if size is not None:
      contents = replaced(contents, at, 4, size, 'little')
  return contents


@pytest.mark.parametrize(
  'contents',
  [
    *(with_sizes(riff) for riff in (0, 2**32 - 1, 36, 16_036 + 8, 16_036 - 8)),
    *(with_sizes(None, d) for d in (0, 2**32 - 1, 0x7FFF_FFFF, 0x8000_0000)),
    with_sizes(2**32 - 1, 2**32 - 1),
    with_sizes(16_036 + 8, 0),
    with_sizes(16_036, 16_036),  # The size of the file for that of the samples.
    with_sizes(16_044, 16_044),
    with_sizes(None, 16_001),  # No more samples.
    WAV + LIST + b'\0',
    WAV + LIST,  # Without its padding.
    WAV + LIST[:-3],
    WAV[:12] + LIST + WAV[12:],
    WAV[:12] + LIST + b'\0' + WAV[12:],
    WAV + bytes(5_000),
    WAV + b'\1',
    WAV + b'TAG' + b'x' * 125,
  ],
)
def test_a_wav_file_with_all_its_samples_is_read(contents):
  np.testing.assert_array_equal(decoding.decode(contents), decoding.decode(WAV))


@pytest.mark.parametrize(
  'contents',
  [
    with_sizes(None, 8_000),  # A number of samples, not of bytes.
    with_sizes(8_036, 8_000),  # Recorded in two parts.
    with_sizes(None, 15_900),
    WAV + WAV,
    WAV + WAV[36:],
    WAV[:-2],
    with_sizes(None, 0)[:-100],
    with_sizes(None, 10**6),
    WAV[:12] + WAV[36:] + WAV[12:36],  # The format behind the samples.
    WAV[:36] + b'LIST\xff\0\0\0wavl' + WAV[36:],
  ],
)
def test_a_wav_file_that_may_lack_samples_is_refused(contents):
  assert length(contents) is None


TAG = b'TAG' + bytes(125)


def wav_chunk(name, body, size=None):
  size = len(body) if size is None else size
  return name + size.to_bytes(4, 'little') + body


INFO = wav_chunk(b'LIST', b'INFOISFT' + b'\4\0\0\0abcd')
HIDDEN = [
  WAV + TAG + WAV,
  with_sizes(None, 8_000, WAV[:8_044] + b'ID3\3' + bytes(6) + WAV[8_044:]),
  WAV + wav_chunk(b'LIST', b'INFO' + WAV[36:], 10**9),
  WAV + wav_chunk(b'LIST', b'INFO' + WAV[36:]),
  WAV[:40] + bytes(4) + WAV[36:],
  WAV[:40] + bytes(4) + wav_chunk(b'JUNK', b'1234') + WAV[36:],
  *(with_sizes(None, size) + INFO for size in (0, 2**32 - 1)),
  *(with_sizes(None, size) + INFO + TAG for size in (0, 2**32 - 1)),
]


@pytest.mark.parametrize('contents', HIDDEN)
def test_sound_in_metadata_and_metadata_as_sound_are_refused(contents):
  assert length(contents) is None


@pytest.mark.parametrize('kind', ['AIFF', 'AU', 'NIST'])
def test_a_tag_does_not_hide_more_sound(kind):
  contents = encode(kind, 'PCM_16', 8_000)
  assert length(contents + TAG) in (
    (None, 8_000) if kind == 'NIST' else (8_000,)
  )
  assert length(contents + TAG + contents) is None


def test_a_float_file_louder_than_twice_full_scale_is_refused():
  for loudness, expected in ((1.5, 8_000), (8.0, None), (20.0, None)):
    file = io.BytesIO()
    sound = loudness / 0.4 * tone(8_000)
    soundfile.write(file, sound, 16_000, 'FLOAT', None, 'WAV')
    assert length(file.getvalue()) == expected


@pytest.mark.parametrize('encoding', ['MS_ADPCM', 'GSM610'])
def test_what_fills_up_the_last_block_is_cut_off(encoding):
  assert length(encode('WAV', encoding, 7_777)) == 7_777


def test_an_opus_stream_that_begins_late_is_refused():
  contents = encode('OGG', 'OPUS', 48_000)
  pages = [p for p in ogg.pages(contents) if p.granule]
  for page in pages:
    granule = (page.granule + 16_000).to_bytes(8, 'little')
    contents = ogg.with_bytes(contents, page, page.start + 6, granule)
  with pytest.raises(decoding.AudioError, match='begins 16000 samples late'):
    decoding.decode(contents)


def test_flac_is_checked_by_its_check_sum():
  contents = encode('FLAC', 'PCM_16')
  for wrong in range(26, 42):
    changed = replaced(contents, wrong, 1, contents[wrong] ^ 1, 'big')
    with pytest.raises(decoding.AudioError, match='check sum'):
      decoding.decode(changed)
  unset = contents[:26] + bytes(16) + contents[42:]
  assert length(unset) == 16_000
  for frames in (15_999, 8_000, 100):
    assert length(replaced(unset, 22, 4, frames, 'big')) is None


def test_flac_behind_a_tag_and_flac_behind_flac():
  contents = encode('FLAC', 'PCM_16')
  assert length(b'ID3\4\0\0\0\0\0\x09' + bytes(9) + contents) == 16_000
  unset = contents[:26] + bytes(16) + contents[42:]
  assert length(contents + contents) is None
  assert length(unset + unset) is None


def with_serial(contents, serial):
  """An OGG file whose stream has another number."""
  for page in ogg.pages(contents):
    number = serial.to_bytes(4, 'little')
    contents = ogg.with_bytes(contents, page, page.start + 14, number)
  return [contents[page.start : page.end] for page in ogg.pages(contents)]


@pytest.mark.parametrize('kinds', [['VORBIS'] * 2, ['OPUS'] * 3, ['OPUS'] * 1])
def test_streams_of_ogg_that_follow_each_other_are_all_read(kinds):
  parts = [encode('OGG', kind, 8_000 + 99 * i) for i, kind in enumerate(kinds)]
  contents = b''.join(
    b''.join(with_serial(part, i)) for i, part in enumerate(parts)
  )
  np.testing.assert_array_equal(
    decoding.decode(contents),
    np.concatenate([decoding.decode(part) for part in parts]),
  )
  with pytest.raises(decoding.TooLongError):
    decoding.decode(contents, 0.5 * len(parts) - 0.1)


def test_streams_of_ogg_beside_each_other_are_refused():
  first, second = (
    with_serial(encode('OGG', kind), i)
    for i, kind in enumerate(('VORBIS', 'OPUS'))
  )
  for pages in (
    [first[0], second[0], *first[1:], *second[1:]],
    [*first[:-1], *second, first[-1]],
  ):
    with pytest.raises(decoding.AudioError, match='at the same time'):
      decoding.decode(b''.join(pages))


@pytest.mark.parametrize('rate', [0, 4_000, 8_000, 11_025, 16_000, 192_000])
def test_the_rate_in_an_opus_header_does_not_matter(rate):
  """It is for information only (RFC 7845, 5.1)."""
  rng = np.random.default_rng(0)
  sound = rng.uniform(-0.5, 0.5, 48_000)
  file = io.BytesIO()
  soundfile.write(file, sound, 48_000, 'OPUS', None, 'OGG')
  contents = file.getvalue()
  page = next(ogg.pages(contents))
  other = ogg.with_bytes(
    contents, page, page.body + 12, rate.to_bytes(4, 'little')
  )
  expected = decoding.decode(contents)
  np.testing.assert_array_equal(decoding.decode(other), expected)
  chain = b''.join(
    b''.join(with_serial(part, i)) for i, part in enumerate((contents, other))
  )
  np.testing.assert_array_equal(
    decoding.decode(chain), np.concatenate([expected] * 2)
  )
  power = np.abs(np.fft.rfft(expected)) ** 2
  assert power[len(power) // 2 :].sum() > 0.3 * power.sum()  # Above 4 kHz.


@pytest.mark.parametrize('missing', range(4))
def test_a_missing_page_of_ogg_is_found(missing):
  pages = with_serial(encode('OGG', 'VORBIS', 160_000), 7)
  assert len(pages) == 4
  del pages[missing]
  with pytest.raises(decoding.AudioError, match='page'):
    decoding.decode(b''.join(pages))


@pytest.mark.parametrize(
  ('packet', 'name'),
  [(b'\x7fFLAC\1\0', 'FLAC'), (b'Speex   1.2', 'Speex'), (b'\x80theora', '')],
)
def test_other_ogg_is_named(packet, name):
  page = bytearray(encode('OGG', 'OPUS')[:28] + packet)
  page[26:28] = bytes([1, len(packet)])
  page[22:26] = bytes(4)
  page[22:26] = ogg._checksum(bytes(page)).to_bytes(4, 'little')
  with pytest.raises(decoding.AudioError, match=f'{name}.* is not read'):
    decoding.decode(bytes(page))


@settings(max_examples=200, deadline=None)
@given(
  st.sampled_from(sorted(READ)),
  st.lists(st.tuples(st.integers(0, 99), st.integers(0, 255)), max_size=4),
)
def test_whatever_a_header_says_it_is_whole_or_refused(kind, changes):
  contents = bytearray(encode(*kind, 2_000))
  for at, value in changes:
    contents[at] = value
  length(bytes(contents))
