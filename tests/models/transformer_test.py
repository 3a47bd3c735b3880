import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf

from tff_asr import errors
from tff_asr.models import transformer

CONFIG = transformer.preset('tiny', 30)
ENCODER = transformer.build(dataclasses.replace(CONFIG, dropout=0.3))


def random_features(frames, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(5.0, 3.0, [frames, 80]).astype(np.float32)


def test_small_has_about_a_million_parameters():
  assert (
    0.8e6
    < transformer.build(transformer.preset('small', 30)).count_params()
    < 1.4e6
  )


@settings(max_examples=15, deadline=None)
@given(st.integers(3, 60), st.integers(0, 40), st.floats(-9, 9))
def test_padding_never_changes_a_result(frames, padding, value):
  utterance = random_features(frames)
  alone = ENCODER(utterance[None], tf.constant([frames]))[0]
  longer = random_features(frames + padding, seed=1)
  batch = np.full([2, frames + padding, 80], value, np.float32)
  batch[0, :frames] = utterance
  batch[1] = longer
  together = ENCODER(batch, tf.constant([frames, frames + padding]))[0]
  outputs = transformer.output_frames(frames)
  np.testing.assert_allclose(together[:outputs], alone[:outputs], atol=1e-4)


def test_three_frames_make_one_output():
  for frames in range(3, 12):
    logits = ENCODER(random_features(frames)[None], tf.constant([frames]))
    assert logits.shape == (1, frames // 3, 30)


def test_loudness_does_not_matter():
  """A gain adds a constant to all log-mels, which normalisation takes away."""
  features = random_features(60)[None]
  lengths = tf.constant([60])
  np.testing.assert_allclose(
    ENCODER(features + 3.0, lengths), ENCODER(features, lengths), atol=1e-3
  )


def test_dropout_acts_in_training_only():
  features, lengths = random_features(60)[None], tf.constant([60])
  again = [ENCODER(features, lengths).numpy() for _ in range(2)]
  np.testing.assert_array_equal(*again)
  trained = [
    ENCODER(features, lengths, training=True).numpy() for _ in range(2)
  ]
  assert np.abs(trained[0] - trained[1]).max() > 1e-3


def test_an_empty_utterance_gives_finite_logits():
  logits = ENCODER(random_features(30)[None], tf.constant([0]))
  assert np.isfinite(logits).all()


def test_time_reversal_changes_the_result():
  """Without positions attention would not tell the order of its inputs."""
  features, lengths = random_features(90)[None], tf.constant([90])
  config = dataclasses.replace(CONFIG, convolutions=0)
  encoder = transformer.build(config)
  block = encoder.blocks[0]
  x = encoder.front_end(features)
  positions = encoder.positions(tf.ones([1, 30, 1]))
  bias = tf.zeros([1, 1, 1, 30])
  with_positions = (
    block(x + positions, bias) - block((x + positions)[:, ::-1], bias)[:, ::-1]
  )
  reordered = block(x[:, ::-1] + positions, bias)[:, ::-1]
  assert np.abs(with_positions).max() < 1e-4
  assert np.abs(reordered - block(x + positions, bias)).max() > 1e-2
  del lengths


def test_an_encoder_outlives_one_made_in_a_graph():
  """TFF makes models inside a `tf.Graph`; Keras' own classes do not bear it."""
  features, lengths = random_features(30)[None], tf.constant([30])
  before = ENCODER(features, lengths)
  with tf.Graph().as_default():
    transformer.build(CONFIG)(features, tf.constant([30]), training=True)
  np.testing.assert_array_equal(ENCODER(features, lengths), before)
  np.testing.assert_array_equal(
    tf.function(ENCODER)(features, lengths).shape, before.shape
  )


def test_an_unknown_preset_is_refused():
  with pytest.raises(errors.UserError, match='tiny'):
    transformer.preset('huge', 30)
