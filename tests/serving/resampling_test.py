"""Resampling keeps what 16 kHz can carry, and nothing else."""

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf

from tff_asr.serving import resampling


@tf.function(
  input_signature=[
    tf.RaggedTensorSpec([None, None], tf.float32),
    tf.TensorSpec([None], tf.int32),
  ]
)
def resample_all(sounds, rates):
  return resampling.resample(sounds, rates)


def resample(sound, rate):
  sounds = tf.RaggedTensor.from_row_lengths(sound, [len(sound)])
  return resample_all(sounds, tf.constant([rate])).values


RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000)
EDGE = 1_000  # Where the filter sees less than all.


def tone(frequency, rate, samples):
  return np.sin(2 * np.pi * frequency * np.arange(samples) / rate)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(RATES), st.floats(0.0, 0.89), st.integers(0, 300))
def test_a_tone_stays_what_it_is(rate, share, more):
  frequency = share * min(rate, 16_000) / 2
  samples = rate // 2 + more
  found = resample(tone(frequency, rate, samples).astype(np.float32), rate)
  assert len(found) == -(-samples * 16_000 // rate)
  expected = tone(frequency, 16_000, len(found))
  inside = slice(EDGE, -EDGE)
  np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([r for r in RATES if r > 16_000]), st.floats(0.1, 0.9))
def test_what_16_khz_cannot_carry_is_gone(rate, share):
  frequency = 8_400 + share * (rate / 2 - 8_400)
  found = resample(tone(frequency, rate, rate // 2).astype(np.float32), rate)
  assert np.abs(found[EDGE:-EDGE]).max() < 1e-4


def test_odd_rates_are_near():
  """A tone is at most 0.1 % off, of its frequency."""
  for rate in 7_919, 16_001, 44_099, 191_881:
    found = resample(tone(1_000, rate, rate).astype(np.float32), rate).numpy()
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found)), 2**18))
    frequency = spectrum.argmax() * 16_000 / 2**18
    assert abs(frequency / 1_000 - 1) < 0.0011


def test_nothing_and_one_sample():
  for samples in 0, 1:
    assert len(resample(tf.ones([samples]), 48_000)) == samples


def test_every_rate_has_a_ratio_near_by():
  rates = tf.range(4_000, 192_001, 7)
  up, down = (n.numpy() for n in resampling._ratio(rates))
  np.testing.assert_allclose(down / up, rates / 16_000, rtol=1e-3)


def test_sounds_of_several_rates_are_those_of_each_alone():
  rng = np.random.default_rng(0)
  rates = [16_000, 8_000, 44_100, 8_000, 7_919, 16_000]
  lengths = [1_000, 3_000, 0, 1, 5_000, 777]
  sounds = [rng.normal(size=n).astype(np.float32) for n in lengths]
  ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(sounds), lengths)
  found = resample_all(ragged, tf.constant(rates))
  np.testing.assert_array_equal(
    found.row_lengths(),
    resampling.samples_at_16_khz(
      tf.constant(lengths, tf.int64), tf.constant(rates)
    ),
  )
  for row, sound, rate in zip(found, sounds, rates, strict=True):
    np.testing.assert_allclose(row, resample(sound, rate), atol=1e-5)


def test_many_rates_at_a_time_are_refused():
  rates = tf.range(8_000, 8_017)
  sounds = tf.RaggedTensor.from_row_lengths(
    tf.zeros([17]), tf.ones([17], tf.int64)
  )
  assert resample_all(sounds[:16], rates[:16]).nrows() == 16
  with pytest.raises(tf.errors.InvalidArgumentError, match='16 sample rates'):
    resample_all(sounds, rates)
