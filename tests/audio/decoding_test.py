import contextlib
import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf
import tensorflow_io as tfio

from tff_asr.audio import decoding

FORMATS = {
  'flac': dict(format='FLAC'),
  'flac24': dict(format='FLAC', subtype='PCM_24'),
  'wav': dict(format='WAV'),
  'wav-float': dict(format='WAV', subtype='FLOAT'),
  'mp3': dict(format='MP3'),
  'vorbis': dict(format='OGG', subtype='VORBIS'),
  'opus': dict(format='OGG', subtype='OPUS'),
}
LOSSLESS = ('flac', 'flac24', 'wav', 'wav-float')


def encode(audio, rate=16_000, kind='flac'):
  """Encodes int16 `[samples]` or `[samples, channels]`."""
  file = io.BytesIO()
  samples = np.asarray(audio, np.int16) / 32768
  soundfile.write(file, samples, rate, **FORMATS[kind])
  return file.getvalue()


def tone(samples, rate=16_000, hertz=440.0):
  phase = 2 * np.pi * hertz * np.arange(samples) / rate
  return np.round(10_000 * np.sin(phase)).astype(np.int16)


def noise(samples, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(-32768, 32768, samples, np.int16)


@pytest.mark.parametrize('kind', LOSSLESS)
def test_lossless_formats_keep_every_sample(kind):
  audio = noise(12_345)
  np.testing.assert_array_equal(
    decoding.decode(encode(audio, kind=kind)), audio
  )


def test_another_decoder_agrees():
  contents = encode(noise(9_999))
  other = tfio.audio.decode_flac(contents, dtype=tf.int16).numpy()[:, 0]
  np.testing.assert_array_equal(decoding.decode(contents), other)


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('rate', [8_000, 16_000, 44_100, 48_000])
def test_every_format_at_every_rate_gives_the_tone_at_16_khz(kind, rate):
  if (kind, rate) == ('opus', 44_100):
    pytest.skip('Opus has no such rate')
  stereo = np.stack([tone(rate, rate)] * 2, 1)
  actual = decoding.decode(encode(stereo, rate, kind)).astype(float)
  assert len(actual) == 16_000
  expected = tone(16_000).astype(float)
  inner = slice(800, -800)  # The filter rings at the ends.
  error = np.linalg.norm((actual - expected)[inner])
  bound = 0.01 if kind in LOSSLESS else 0.1
  assert error < bound * np.linalg.norm(expected[inner])


def test_channels_are_averaged():
  stereo = np.stack([np.full(500, 100), np.full(500, 300)], 1)
  np.testing.assert_array_equal(decoding.decode(encode(stereo)), [200] * 500)


@pytest.mark.parametrize(
  'contents',
  [b'', b'RIFF' * 20, b'fLaC', b'fLaC\x04' * 9, b'OggS', b'\0' * 999],
)
def test_what_is_no_audio_is_refused(contents):
  with pytest.raises(decoding.AudioError):
    decoding.decode(contents)


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('kept', [0.2, 0.5, 0.95])
def test_a_file_that_was_cut_off_is_refused(kind, kept):
  contents = encode(noise(40_000) // 4, kind=kind)
  with pytest.raises(decoding.AudioError):
    decoding.decode(contents[: int(kept * len(contents))])


@pytest.mark.parametrize('kind', ['vorbis', 'opus'])
def test_a_missing_last_page_is_found(kind):
  contents = encode(noise(40_000), kind=kind)
  with pytest.raises(decoding.AudioError, match='last OGG page is missing'):
    decoding.decode(contents[: contents.rindex(b'OggS')])


@pytest.mark.parametrize('kind', FORMATS)
def test_a_damaged_file_is_refused_or_keeps_its_length(kind):
  contents = encode(noise(40_000) // 4, kind=kind)
  whole = len(decoding.decode(contents))
  rng = np.random.default_rng(1)
  for _ in range(10):
    damaged = bytearray(contents)
    # MP3 may have its length in its first frame, and nowhere else.
    at = rng.integers(2_000 if kind == 'mp3' else 42, len(damaged) - 300)
    damaged[at : at + 300] = rng.bytes(300)
    with contextlib.suppress(decoding.AudioError):
      assert len(decoding.decode(bytes(damaged))) == whole


def test_a_rate_that_no_speech_has_is_refused():
  with pytest.raises(decoding.AudioError, match='1000 Hz'):
    decoding.decode(encode(tone(1_000), 1_000, 'wav'))


def with_flac_length(contents, frames):
  """A FLAC file whose header tells another number of samples."""
  changed = bytearray(contents)
  changed[21] = changed[21] & 0xF0 | frames >> 32
  changed[22:26] = (frames & 0xFFFF_FFFF).to_bytes(4, 'big')
  return bytes(changed)


def test_what_is_too_long_by_its_header_is_not_decoded():
  contents = encode(noise(16_000))
  assert len(decoding.decode(contents, max_seconds=1.0)) == 16_000
  with pytest.raises(decoding.TooLongError, match=r'1\.0 s'):
    decoding.decode(contents, max_seconds=0.99)
  hours = with_flac_length(contents, 10 * 3_600 * 16_000)
  with pytest.raises(decoding.TooLongError, match=r'36000\.0 s'):
    decoding.decode(hours, max_seconds=30.0)


def test_a_length_that_no_memory_holds_is_refused():
  with pytest.raises(decoding.AudioError):
    decoding.decode(with_flac_length(encode(noise(16_000)), 2**36 - 1))


def test_samples_that_are_no_sound_are_refused():
  file = io.BytesIO()
  soundfile.write(
    file, np.array([0.0, np.nan] * 500), 16_000, **FORMATS['wav-float']
  )
  with pytest.raises(decoding.AudioError, match='far outside the range'):
    decoding.decode(file.getvalue())


def with_sizes(contents, riff_size, data_size):
  """A WAV file whose header says something else of the sizes."""
  changed, at = bytearray(contents), contents.index(b'data') + 4
  changed[4:8] = riff_size.to_bytes(4, 'little')
  changed[at : at + 4] = data_size.to_bytes(4, 'little')
  return bytes(changed)


@pytest.mark.parametrize(
  'sizes',
  [(0, 0), (36, 0), (0x7FFF_F024, 0x7FFF_F000), (2**32 - 1, 2**32 - 1)],
)
def test_wav_from_a_pipe_is_read_to_its_end(sizes):
  audio = noise(12_345)
  contents = with_sizes(encode(audio, kind='wav'), *sizes)
  np.testing.assert_array_equal(decoding.decode(contents), audio)


def test_wav_with_one_meant_size_is_checked_by_it():
  audio = noise(12_345)
  contents = with_sizes(encode(audio, kind='wav'), 0, 2 * 12_345)
  np.testing.assert_array_equal(decoding.decode(contents), audio)
  with pytest.raises(decoding.AudioError, match='where the header says'):
    decoding.decode(contents[:-100])
  contents = with_sizes(contents, len(contents) - 8, 0)
  np.testing.assert_array_equal(decoding.decode(contents), audio)
  with pytest.raises(decoding.AudioError, match='where the header says'):
    decoding.decode(contents[:-100])


def test_wav_from_a_pipe_with_a_chunk_of_odd_size_is_read_to_its_end():
  audio = noise(12_345)
  contents = with_sizes(encode(audio, kind='wav'), 0, 0)
  chunk = b'LIST\x05\0\0\0INFO1\0'
  np.testing.assert_array_equal(
    decoding.decode(contents[:12] + chunk + contents[12:]), audio
  )


def test_wav_may_lack_its_last_byte_of_padding_and_no_other():
  file = io.BytesIO()
  samples = np.zeros(12_345)
  soundfile.write(file, samples, 16_000, format='WAV', subtype='PCM_U8')
  contents = file.getvalue()
  assert len(contents) == 44 + 12_346
  assert len(decoding.decode(contents[:-1])) == 12_345
  with pytest.raises(decoding.AudioError, match='where the header says'):
    decoding.decode(contents[:-2])


def test_a_chunk_that_follows_no_samples_is_no_sound():
  contents = encode(noise(0), kind='wav') + b'LIST\x04\0\0\0INFO'
  assert len(decoding.decode(contents)) == 0


def test_flac_from_a_pipe_is_refused_with_what_to_do():
  with pytest.raises(decoding.AudioError, match=r'no length.*encode'):
    decoding.decode(with_flac_length(encode(noise(12_345)), 0))
