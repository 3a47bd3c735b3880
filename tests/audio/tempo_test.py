import numpy as np
import pytest
import tensorflow as tf

from tff_asr.audio import tempo


def ramp(frames):
  """Features whose value is their place in the utterance, 0 to 1."""
  place = np.linspace(0.0, 1.0, frames, dtype=np.float32)
  return tf.constant(np.stack([place, 1.0 - place], 1))


def draw(seed, features, max_change=0.2, min_frames=0):
  found = tempo.perturb(
    features, max_change, tf.constant(min_frames), tf.constant([seed, 0])
  )
  return found.numpy()


def test_lengths_cover_the_range_of_tempos_and_no_more():
  lengths = [len(draw(seed, ramp(120))) for seed in range(300)]
  # 120 frames at 1.2 and at 0.8; of 300 draws none in the outer tenth of the
  # range has a probability of 0.9 ** 300 < 1e-13.
  assert 100 <= min(lengths) < 105
  assert 138 < max(lengths) <= 150


def test_the_utterance_keeps_its_ends_and_its_order():
  for seed in range(20):
    found = draw(seed, ramp(50))
    np.testing.assert_allclose(found, ramp(len(found)), atol=1e-5)


def test_an_utterance_is_not_made_too_short():
  for frames, least in (50, 49), (50, 50), (50, 60):
    for seed in range(50):
      assert len(draw(seed, ramp(frames), 0.5, least)) >= min(least, frames)


@pytest.mark.parametrize('frames', [1, 2, 7])
def test_without_change_nothing_changes(frames):
  np.testing.assert_allclose(
    draw(0, ramp(frames), 0.0), ramp(frames), atol=1e-6
  )
