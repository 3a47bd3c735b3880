"""MP3 files, with and without a frame that tells their length."""

import io
import struct

import numpy as np
import pytest
import soundfile

from tff_asr.audio import decoding, mpeg

SECONDS = 2.0
FADE = 1_200  # Samples at 16 kHz that an encoder adds at either end, at most.
ID3V1 = b'TAG' + b'x' * 125
ID3V2 = b'ID3\x04\0\0\0\0\x07\x76' + b'\xff\xfb' * 507
ID3V2_WITH_FOOTER = b'ID3\x04\0\x10\0\0\x07\x76' + b'\xff\xfb' * 512
ID3V1_PLUS = b'TAG+' + b'x' * 223
LYRICS_1 = b'LYRICSBEGIN' + b'[00:01]la la \xff\xfb' * 9 + b'LYRICSEND'
LYRICS_2 = b'LYRICSBEGININD0000200LYR00003la 000033LYRICS200'
# Version, size of the items and the footer, number of items, flags.
APE_FOOTER = '<8sIIII8x'
APE = b'item' + struct.pack(APE_FOOTER, b'APETAGEX', 2_000, 36, 1, 0)
APE_HEADER = struct.pack(APE_FOOTER, b'APETAGEX', 2_000, 36, 1, 0xA000_0000)
APE_WITH_HEADER = (
  APE_HEADER
  + b'item'
  + struct.pack(APE_FOOTER, b'APETAGEX', 2_000, 36, 1, 0x8000_0000)
)


def encode(rate=16_000, mode='VARIABLE', channels=1, level=0.5):
  """A rising tone of two seconds that starts and ends quietly."""
  time = np.arange(int(SECONDS * rate)) / rate
  sound = np.sin(2 * np.pi * (200 + 200 * time) * time)
  sound *= 0.5 * np.sin(np.pi * time / SECONDS) ** 4
  file = io.BytesIO()
  samples = np.stack([sound] * channels, 1)
  soundfile.write(
    file,
    samples,
    rate,
    format='MP3',
    bitrate_mode=mode,
    compression_level=level,  # Without it all modes are one.
  )
  return file.getvalue()


def without_length(contents):
  """The file without its first frame, which only tells the length."""
  assert {contents[21:25], contents[13:17], contents[36:40]} & {
    b'Xing',
    b'Info',
  }
  # Another frame of the same version, layer and rate.
  start = contents[:2] + bytes([contents[2] & 0x0C])
  for at in range(4, len(contents)):
    header = contents[at : at + 2] + bytes([contents[at + 2] & 0x0C])
    if header == start:
      return contents[at:]
  raise AssertionError


@pytest.mark.parametrize('mode', ['CONSTANT', 'VARIABLE', 'AVERAGE'])
@pytest.mark.parametrize('rate', [8_000, 16_000, 22_050, 32_000, 48_000])
@pytest.mark.parametrize('channels', [1, 2])
def test_all_sound_is_decoded_without_a_told_length(mode, rate, channels):
  contents = encode(rate, mode, channels)
  expected = decoding.decode(contents).astype(float)
  actual = decoding.decode(without_length(contents)).astype(float)
  assert len(expected) == SECONDS * 16_000
  assert (
    0 <= len(actual) - len(expected) <= 2 * FADE * 16_000 / min(rate, 16_000)
  )
  # The same sound, somewhat later.
  correlation = np.correlate(actual, expected)
  assert correlation.max() > 0.99 * np.sum(expected**2)


@pytest.mark.parametrize(
  'before', [b'', ID3V2, 2 * ID3V2, bytes(700), ID3V2 + bytes(9), APE]
)
@pytest.mark.parametrize(
  'after',
  [
    b'',
    ID3V1,
    APE,
    APE_WITH_HEADER + ID3V1,
    ID3V2,
    ID3V2_WITH_FOOTER + ID3V1,
    bytes(500),
    LYRICS_1 + ID3V1,
    APE + LYRICS_2 + ID3V1_PLUS + ID3V1 + bytes(3),
  ],
)
def test_tags_are_no_sound(before, after):
  for contents in (encode(), without_length(encode())):
    np.testing.assert_array_equal(
      decoding.decode(before + contents + after), decoding.decode(contents)
    )


def test_a_cut_is_found_wherever_it_is():
  contents = without_length(encode())
  whole = len(decoding.decode(contents))
  rng = np.random.default_rng(0)
  for kept in rng.integers(1, len(contents), 100):
    try:
      audio = decoding.decode(contents[:kept])
    except decoding.AudioError:
      continue
    # Between two frames: nothing in the file tells.
    assert len(audio) <= whole * kept / len(contents) + FADE


@pytest.mark.parametrize(
  ('damage', 'message'),
  [
    (lambda c: c + c, 'frames where the first says'),
    (lambda c: without_length(c) + b'\xff' * 999, 'damaged MPEG frame'),
    (lambda c: c + ID3V2 + without_length(c), 'damaged MPEG frame'),
    (lambda c: with_told(c, 1), 'frames where the first says'),
    (lambda c: with_told(c, 10_000), 'frames where the first says'),
    (lambda c: c[: len(c) // 2] + bytes(99) + c[len(c) // 2 :], 'MPEG frame'),
    (lambda c: c[: len(c) // 2] + c[len(c) // 2 + 99 :], 'MPEG frame'),
    (lambda c: without_length(c)[:-1], 'frame is cut off'),
    (
      lambda c: without_length(c) + without_length(encode(32_000)),
      'damaged MPEG frame',
    ),
  ],
)
def test_what_does_not_fit_together_is_refused(damage, message):
  with pytest.raises(decoding.AudioError, match=message):
    decoding.decode(damage(encode()))


def with_told(contents, number):
  """The file, the first frame of which tells another number of frames."""
  at = contents.index(b'Xing') + 8
  return contents[:at] + number.to_bytes(4, 'big') + contents[at + 4 :]


def test_a_number_that_is_one_too_small_loses_nothing():
  contents = encode()
  at = contents.index(b'Xing') + 8
  number = int.from_bytes(contents[at : at + 4], 'big')
  np.testing.assert_array_equal(
    decoding.decode(with_told(contents, number - 1)), decoding.decode(contents)
  )


@pytest.mark.parametrize(
  ('header', 'message'),
  [
    (b'\xff\xfd\x90\xc4', 'layer II is not read'),
    (b'\xff\xff\x90\xc4', 'layer I is not read'),
    (b'\xff\xfb\x00\xc4', 'free bit rate is not read'),
  ],
)
def test_other_mpeg_audio_is_named(header, message):
  with pytest.raises(decoding.AudioError, match=message):
    decoding.decode(header + bytes(5_000))


@pytest.mark.parametrize('kind', ['folder', 'file'])
def test_an_mp3_is_read_wherever_one_stands(tmp_path, monkeypatch, kind):
  """libsndfile looks for resource forks of macOS in a folder."""
  if kind == 'folder':
    (tmp_path / '.AppleDouble').mkdir()
  else:
    (tmp_path / '._').write_bytes(b'\0\5\x16\7' + bytes(300))
  contents = encode()
  expected = decoding.decode(contents)
  monkeypatch.chdir(tmp_path)
  np.testing.assert_array_equal(decoding.decode(contents), expected)


def with_tag(contents, name, numbers):
  """The file, the first frame of which holds another tag."""
  at = contents.index(b'Xing')
  return contents[:at] + name + numbers + contents[at + 4 + len(numbers) :]


def test_a_first_frame_that_tells_no_number_is_no_sound():
  contents = encode()
  expected = decoding.decode(without_length(contents))
  for tag in (b'Xing\0\0\0\0', b'Info\0\0\0\x0e'):
    audio = decoding.decode(with_tag(contents, tag[:4], tag[4:]))
    np.testing.assert_array_equal(audio, expected)
  vbri = bytearray(contents)
  at = contents.index(b'Xing')
  vbri[at : at + 4] = b'\0\0\0\0'
  vbri[36:40] = b'VBRI'
  np.testing.assert_array_equal(decoding.decode(bytes(vbri)), expected)


def test_what_is_added_has_no_checksum_where_the_sound_has():
  contents = without_length(encode())
  protected = contents[:1] + bytes([contents[1] & 0xFE]) + contents[2:]
  assert mpeg.with_length(protected)[1] & 1
  assert mpeg.with_length(protected).endswith(protected)


def test_what_follows_a_told_number_of_frames_does_not_matter():
  contents = encode()
  np.testing.assert_array_equal(
    decoding.decode(contents + b'LYRICSBEGIN' * 9), decoding.decode(contents)
  )


@pytest.mark.parametrize('contents', [b'', b'ID3', b'ID3\x04\0\0', b'\xff\xfb'])
def test_what_is_no_mp3_is_refused(contents):
  with pytest.raises(mpeg.MpegError):
    mpeg.with_length(contents)
