import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tff_asr import checksums, errors
from tff_asr.models import model_folder, presets
from tff_asr.text import vocabularies

CHARACTERS = vocabularies.CharacterVocabulary()


@pytest.fixture
def encoder():
  return presets.preset('small', CHARACTERS.size).build()


def test_what_is_loaded_computes_what_was_saved(encoder, tmp_path):
  model_folder.save(tmp_path / 'model', encoder, CHARACTERS)
  features = np.random.default_rng(0).normal(size=[1, 30, 80]).astype('f')
  for folder in tmp_path / 'model', tmp_path:
    loaded, characters = model_folder.load(folder)
    assert loaded.config == encoder.config
    assert characters == CHARACTERS
    np.testing.assert_array_equal(
      loaded(features, tf.constant([30])), encoder(features, tf.constant([30]))
    )


def test_a_loaded_model_can_have_other_rates_of_regularisation(
  encoder, tmp_path
):
  model_folder.save(tmp_path, encoder, CHARACTERS)
  rates = dict(dropout=0.5, layer_drop=0.25)
  loaded, _ = model_folder.load(tmp_path, regularisation=rates)
  assert loaded.config == dataclasses.replace(encoder.config, **rates)
  for one, other in zip(loaded.weights, encoder.weights, strict=True):
    np.testing.assert_array_equal(one, other)


def test_what_is_no_model_is_refused(encoder, tmp_path):
  with pytest.raises(errors.UserError, match='no model'):
    model_folder.load(tmp_path)
  (tmp_path / 'file').write_text('x')
  with pytest.raises(errors.UserError, match=r'no model in .*file'):
    model_folder.load(tmp_path / 'file')
  model_folder.save(tmp_path, encoder, CHARACTERS)
  (tmp_path / checksums.NAME).unlink()  # As of an earlier release.
  weights = tmp_path / 'model.weights.h5'
  contents = weights.read_bytes()
  weights.write_bytes(contents[: len(contents) // 2])
  with pytest.raises(errors.UserError, match='cannot be read'):
    model_folder.load(tmp_path)
  (tmp_path / 'model.json').write_text('[]')
  with pytest.raises(errors.UserError, match=r'model\.json is damaged'):
    model_folder.load(tmp_path)
  (tmp_path / 'model.json').write_text(json.dumps({'version': 99}))
  with pytest.raises(errors.UserError, match='version 99'):
    model_folder.load(tmp_path)
