"""Loss and outputs of encoders that are coarser than a store is made for."""

import numpy as np
import pytest
import tensorflow as tf

from tests import convolution_encoder
from tff_asr.corpora import utterance
from tff_asr.learning import evaluation, speech_model
from tff_asr.models import ctc
from tff_asr.text import vocabularies

ENGLISH = vocabularies.CharacterVocabulary()
CONFIG = convolution_encoder.ConvolutionConfig(ENGLISH.size)


@pytest.fixture(scope='module')
def encoder():
  tf.keras.utils.set_random_seed(0)
  return CONFIG.build()


def batch(*rows):
  """Utterances of so many frames and with such tokens."""
  rng = np.random.default_rng(0)
  longest = max(frames for frames, _ in rows)
  x = rng.normal(5.0, 3.0, [len(rows), longest, 80]).astype(np.float32)
  tokens = tf.ragged.constant([t for _, t in rows], dtype=tf.int32)
  return dict(
    features=tf.constant(x),
    frames=tf.constant([frames for frames, _ in rows]),
    tokens=tokens.to_tensor(),
    token_lengths=tf.cast(tokens.row_lengths(), tf.int32),
  )


def gradient(encoder, of):
  with tf.GradientTape() as tape:
    loss = speech_model.batch_loss(encoder, of, training=True)
  gradients = tape.gradient(loss, encoder.trainable_variables)
  return float(loss), [g.numpy() for g in gradients]


def test_an_utterance_that_cannot_be_emitted_teaches_nothing(encoder):
  """A store keeps 5 tokens on 15 frames, of which 3 outputs are made."""
  fits, does_not = (40, [5, 6, 6]), (15, [1, 2, 3, 4, 5])
  assert 15 // utterance.STRIDE == 5 > CONFIG.output_frames(15)
  alone = batch(fits)
  both = batch(fits, does_not)
  both['features'] = tf.concat(
    [alone['features'], both['features'][1:]], axis=0
  )
  loss, expected = gradient(encoder, alone)
  found_loss, found = gradient(encoder, both)
  assert found_loss == pytest.approx(loss / 2, rel=1e-5)
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other / 2, rtol=1e-4, atol=1e-6)
    assert np.abs(other).max() > 0


def test_a_batch_of_fewer_frames_than_the_stride_has_no_gradient(encoder):
  loss, found = gradient(encoder, batch((3, [1])))
  assert loss == 0.0
  assert not any(g.any() for g in found)


def test_outputs_that_just_fit_are_trained_on(encoder):
  loss, found = gradient(encoder, batch((4, [7])))
  assert 0.0 < loss < np.inf
  assert any(g.any() for g in found)


def test_possible_utterances_have_the_loss_of_ctc(encoder):
  rows = batch((40, [5, 6, 6]), (15, [1, 2, 3, 4, 5]), (20, [1, 2]))
  logits, lengths = speech_model.outputs(encoder, rows, training=False)
  found = speech_model.utterance_losses(encoder, rows, logits, lengths).numpy()
  assert np.isposinf(found[1])
  for i in 0, 2:
    (expected,) = ctc.loss(
      logits[i : i + 1],
      lengths[i : i + 1],
      rows['tokens'][i : i + 1],
      rows['token_lengths'][i : i + 1],
    )
    assert found[i] == pytest.approx(float(expected), rel=1e-5)


def test_an_utterance_without_output_is_transcribed_as_empty(encoder):
  rows = batch((3, [1]), (3, [2]))
  logits, lengths = speech_model.outputs(encoder, rows, training=False)
  assert not ctc.greedy_tokens(logits, lengths).row_lengths().numpy().any()
  names = {
    'client_id': ['ann', 'ann'],
    'utterance_id': ['ann-0', 'ann-1'],
    'text': ['a', 'b'],
  }
  rows |= {name: tf.constant(values) for name, values in names.items()}
  found = evaluation.Evaluator(encoder, ENGLISH).transcribe([rows])
  assert [(t.hypothesis, t.loss) for t in found] == [('', np.inf)] * 2
