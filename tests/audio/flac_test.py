import contextlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_io as tfio

from tff_asr.audio import flac


def encode(audio, rate=16_000):
  audio = np.asarray(audio, np.int16)
  if audio.ndim == 1:
    audio = audio[:, None]
  return tfio.audio.encode_flac(tf.constant(audio), rate).numpy()


def tone(samples, rate=16_000, hertz=440.0):
  phase = 2 * np.pi * hertz * np.arange(samples) / rate
  return np.round(10_000 * np.sin(phase)).astype(np.int16)


def test_decoding_is_lossless():
  audio = np.random.default_rng(0).integers(-32768, 32768, 12_345, np.int16)
  np.testing.assert_array_equal(flac.decode(encode(audio)), audio)


def test_the_header_is_read():
  info = flac.stream_info(encode(np.zeros([1_000, 2]), rate=44_100))
  assert info == flac.StreamInfo(44_100, 2, 16, 1_000)


def test_channels_are_mixed():
  stereo = np.stack([np.full(500, 100), np.full(500, 300)], 1)
  np.testing.assert_array_equal(flac.decode(encode(stereo)), [200] * 500)


@pytest.mark.parametrize('rate', [8_000, 44_100, 48_000])
def test_other_rates_are_resampled(rate):
  actual = flac.decode(encode(tone(rate, rate), rate)).astype(float)
  assert len(actual) == 16_000
  expected = tone(16_000).astype(float)
  inner = slice(500, -500)  # The filter rings at the ends.
  error = np.linalg.norm((actual - expected)[inner])
  assert error < 0.01 * np.linalg.norm(expected[inner])


@pytest.mark.parametrize(
  'contents', [b'', b'RIFF' * 20, b'fLaC', b'fLaC\x04' * 9]
)
def test_what_is_no_flac_is_refused(contents):
  with pytest.raises(flac.AudioError, match='not a FLAC'):
    flac.decode(contents)


@pytest.mark.parametrize('kept', [0.2, 0.5, 0.95])
def test_a_truncated_file_is_refused(kept):
  audio = np.random.default_rng(0).integers(-9_000, 9_000, 40_000, np.int16)
  contents = encode(audio)
  with pytest.raises(flac.AudioError):
    flac.decode(contents[: int(kept * len(contents))])


def test_a_damaged_file_is_refused_or_keeps_its_length():
  audio = np.random.default_rng(0).integers(-9_000, 9_000, 40_000, np.int16)
  contents = bytearray(encode(audio))
  rng = np.random.default_rng(1)
  for _ in range(20):
    damaged = contents.copy()
    at = rng.integers(42, len(damaged) - 500)
    damaged[at : at + 500] = rng.bytes(500)
    with contextlib.suppress(flac.AudioError):
      assert len(flac.decode(bytes(damaged))) == 40_000
