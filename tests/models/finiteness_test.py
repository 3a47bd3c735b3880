"""Models with weights or outputs that are no numbers are refused."""

import numpy as np
import pytest
import tensorflow as tf

from tests import convolution_encoder
from tff_asr import errors
from tff_asr.models import finiteness, model_folder, presets
from tff_asr.text import vocabularies

CHARACTERS = vocabularies.CharacterVocabulary()


@pytest.fixture
def encoder():
  return presets.preset('tiny', CHARACTERS.size).build()


class _Odd(convolution_encoder.ConvolutionEncoder):
  """With one logit of its own on all frames."""

  def call(self, *args, **kwargs):
    logits = super().call(*args, **kwargs)
    return tf.concat([logits[..., 1:], 0 * logits[..., :1] + self.odd], -1)


def odd(value):
  found = _Odd(convolution_encoder.ConvolutionConfig(CHARACTERS.size))
  found.odd = value
  found(tf.zeros([1, 4, 80]), tf.constant([4]))
  return found


def test_a_model_that_works_has_no_fault(encoder):
  assert finiteness.fault(encoder) is None


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('place', [0, -1])
def test_one_weight_that_is_not_finite_is_a_fault(encoder, value, place):
  weights = list(map(np.array, encoder.get_weights()))
  weights[place].flat[-1] = value
  encoder.set_weights(weights)
  assert 'weights' in finiteness.fault(encoder)


def test_outputs_are_looked_at_too(encoder):
  """Weights of 1e38 are finite; their products are not."""
  encoder.set_weights([np.full_like(w, 1e38) for w in encoder.get_weights()])
  assert 'outputs' in finiteness.fault(encoder)
  assert 'outputs' in finiteness.fault(odd(np.nan))
  assert 'outputs' in finiteness.fault(odd(np.inf))
  assert finiteness.fault(odd(-np.inf)) is None  # A token never emitted.


def test_a_folder_with_such_a_model_is_not_loaded(encoder, tmp_path):
  weights = list(map(np.array, encoder.get_weights()))
  weights[0].flat[0] = np.nan
  encoder.set_weights(weights)
  model_folder.save(tmp_path, encoder, CHARACTERS)
  with pytest.raises(
    errors.UserError, match=r'not finite .* diverged'
  ) as found:
    model_folder.load(tmp_path)
  assert str(tmp_path) in str(found.value) and '\n' not in str(found.value)
