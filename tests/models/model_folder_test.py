import json

import numpy as np
import pytest
import tensorflow as tf

from tff_asr import errors
from tff_asr.models import model_folder, transformer
from tff_asr.text import vocabulary

CHARACTERS = vocabulary.CharacterVocabulary()


@pytest.fixture
def encoder():
  return transformer.build(transformer.preset('small', CHARACTERS.size))


def test_what_is_loaded_computes_what_was_saved(encoder, tmp_path):
  model_folder.save(tmp_path / 'model', encoder, CHARACTERS)
  features = np.random.default_rng(0).normal(size=[1, 30, 80])
  for folder in tmp_path / 'model', tmp_path:
    loaded, characters = model_folder.load(folder)
    assert loaded.config == encoder.config
    assert characters.characters == CHARACTERS.characters
    np.testing.assert_array_equal(
      loaded(features, tf.constant([30])), encoder(features, tf.constant([30]))
    )


def test_what_is_no_model_is_refused(encoder, tmp_path):
  with pytest.raises(errors.UserError, match='no model'):
    model_folder.load(tmp_path)
  model_folder.save(tmp_path, encoder, CHARACTERS)
  weights = tmp_path / 'model.weights.h5'
  contents = weights.read_bytes()
  weights.write_bytes(contents[: len(contents) // 2])
  with pytest.raises(errors.UserError, match='cannot be read'):
    model_folder.load(tmp_path)
  config = json.loads((tmp_path / 'model.json').read_text())
  (tmp_path / 'model.json').write_text(json.dumps(config | {'version': 99}))
  with pytest.raises(errors.UserError, match='version 99'):
    model_folder.load(tmp_path)
