from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf

from tff_asr.audio import features


def reference_log_mel(waveform):
  """The paper's definition, step by step in float64."""
  samples = np.asarray(waveform, np.float64) * 32768
  rows = []
  for start in range(0, len(samples) - 400 + 1, 160):
    frame = samples[start : start + 400].copy()
    frame[1:] -= 0.97 * frame[:-1].copy()
    frame[0] *= 1 - 0.97
    frame *= 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
    rows.append(np.abs(np.fft.rfft(frame, 512)))
  edges = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 82)
  mel = np.zeros([257, 80])
  for k in range(257):
    m = 2595 * np.log10(1 + k * 8000 / 256 / 700)
    for b in range(80):
      low, mid, high = edges[b : b + 3]
      if low < m <= mid:
        mel[k, b] = (m - low) / (mid - low)
      elif mid < m < high:
        mel[k, b] = (high - m) / (high - mid)
  return np.log(np.maximum(np.array(rows) @ mel, 1.0))


@pytest.mark.parametrize('scale', [1e-5, 0.01, 1.0])
def test_equals_the_definition_in_float64(scale):
  rng = np.random.default_rng(0)
  waveform = (scale * rng.uniform(-1, 1, 5_000)).astype(np.float32)
  actual = features.log_mel(waveform).numpy()
  expected = reference_log_mel(waveform)
  assert actual.shape == expected.shape
  np.testing.assert_allclose(actual, expected, atol=1e-4)


TIME = np.arange(8_000) / 16_000
NOISE = np.random.default_rng(0).normal(size=8_000)


@pytest.mark.parametrize(
  'waveform',
  [
    0.9 + 3e-5 * NOISE,
    0.5 + 0.05 * NOISE,
    np.full(8_000, 0.99),
    0.95 * np.sin(2 * np.pi * 50 * TIME) + 1e-5 * NOISE,
    0.99 * np.sin(2 * np.pi * 1_000 * TIME),
    np.sign(np.sin(2 * np.pi * 200 * TIME)),
  ],
  ids=['offset', 'loud offset', 'constant', 'hum', 'tone', 'square'],
)
def test_equals_the_definition_beside_an_offset_or_a_hum(waveform):
  pcm = np.clip(np.round(waveform * 32768), -32768, 32767).astype(np.int16)
  actual = features.log_mel(features.waveform_of(tf.constant(pcm))).numpy()
  np.testing.assert_allclose(actual, reference_log_mel(pcm / 32768), atol=1e-4)
  # In float32 a band near the floor is off by a hundredth of a part.
  actual = features.log_mel_float32(features.waveform_of(tf.constant(pcm)))
  np.testing.assert_allclose(actual, reference_log_mel(pcm / 32768), atol=2e-2)


@settings(max_examples=25, deadline=None)
@given(
  st.integers(400, 4_000),
  st.integers(0, 3_000),
  st.floats(-5.0, 0.0),
  st.integers(0, 99),
)
def test_equals_the_definition_whatever_follows(samples, padding, power, seed):
  """Of any loudness, with any padding, in a batch."""
  rng = np.random.default_rng(seed)
  waveform = 10.0**power * rng.uniform(-1, 1, samples)
  padded = np.zeros([2, samples + padding], np.float32)
  padded[0, :samples] = waveform
  padded[1] = rng.uniform(-1, 1, samples + padding)
  actual = features.log_mel(padded).numpy()[0]
  frames = features.num_frames(samples)
  expected = reference_log_mel(waveform.astype(np.float32))
  assert len(expected) == frames
  np.testing.assert_allclose(actual[:frames], expected, atol=1e-4)


@pytest.mark.parametrize('samples', [0, 1, 399, 400, 559, 560, 561, 16_000])
def test_number_of_frames(samples):
  expected = features.log_mel(tf.zeros([samples])).shape[0]
  assert features.num_frames(samples) == expected
  assert int(features.num_frames(tf.constant(samples))) == expected


def test_silence_is_the_floor():
  assert np.all(features.log_mel(tf.zeros([16_000])).numpy() == 0.0)


def test_padding_does_not_change_the_frames_of_the_utterance():
  rng = np.random.default_rng(0)
  waveform = rng.uniform(-1, 1, [2, 4_000]).astype(np.float32)
  alone = features.log_mel(waveform).numpy()
  padded = features.log_mel(np.pad(waveform, [[0, 0], [0, 999]])).numpy()
  np.testing.assert_allclose(padded[:, : alone.shape[1]], alone, atol=1e-5)


@pytest.mark.parametrize('frames', [0, 1, 4, 5, 6, 10, 23])
def test_chunks_give_the_same_features(monkeypatch, frames):
  monkeypatch.setattr(features, '_CHUNK_FRAMES', 5)
  rng = np.random.default_rng(0)
  samples = 240 + 160 * frames + 17
  waveform = tf.constant(rng.uniform(-1, 1, samples), tf.float32)
  expected = features.log_mel(waveform)
  actual = features.log_mel_in_chunks(waveform)
  assert actual.shape == (frames, 80)
  np.testing.assert_allclose(actual, expected, atol=1e-5)
