"""Resampling keeps what 16 kHz can carry, and nothing else."""

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import tensorflow as tf

from tff_asr.serving import resampling

RESAMPLE = tf.function(
  resampling.resample,
  input_signature=[
    tf.TensorSpec([None], tf.float32),
    tf.TensorSpec([], tf.int32),
  ],
)
RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000)
EDGE = 1_000  # Where the filter sees less than all.


def tone(frequency, rate, samples):
  return np.sin(2 * np.pi * frequency * np.arange(samples) / rate)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(RATES), st.floats(0.0, 0.89), st.integers(0, 300))
def test_a_tone_stays_what_it_is(rate, share, more):
  frequency = share * min(rate, 16_000) / 2
  samples = rate // 2 + more
  found = RESAMPLE(tone(frequency, rate, samples).astype(np.float32), rate)
  assert len(found) == -(-samples * 16_000 // rate)
  expected = tone(frequency, 16_000, len(found))
  inside = slice(EDGE, -EDGE)
  np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([r for r in RATES if r > 16_000]), st.floats(0.1, 0.9))
def test_what_16_khz_cannot_carry_is_gone(rate, share):
  frequency = 8_400 + share * (rate / 2 - 8_400)
  found = RESAMPLE(tone(frequency, rate, rate // 2).astype(np.float32), rate)
  assert np.abs(found[EDGE:-EDGE]).max() < 1e-4


def test_odd_rates_are_near():
  """A tone is at most 0.2 % off, of its frequency."""
  for rate in 7_919, 16_001, 44_099, 191_881:
    found = RESAMPLE(tone(1_000, rate, rate).astype(np.float32), rate).numpy()
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found)), 2**18))
    frequency = spectrum.argmax() * 16_000 / 2**18
    assert abs(frequency / 1_000 - 1) < 0.002


def test_nothing_and_one_sample():
  for samples in 0, 1:
    assert len(RESAMPLE(tf.ones([samples]), 48_000)) == samples
