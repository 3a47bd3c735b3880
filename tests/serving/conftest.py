"""An encoder that hears something in noise, and what is served of it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tff_asr.models import presets
from tff_asr.serving import client, saved_model, tflite, transcriber
from tff_asr.text import vocabularies


@pytest.fixture(scope='session')
def letters():
  return vocabularies.CharacterVocabulary()


@pytest.fixture(scope='session')
def encoder(letters):
  tf.keras.utils.set_random_seed(0)
  config = dataclasses.replace(
    presets.preset('tiny', letters.size),
    blocks=1,
    width=16,
    mlp_width=32,
    convolutions=1,
  )
  model = config.build()
  # Outputs far apart: otherwise one token is the best on all frames.
  kernel, bias = model.output_layer.get_weights()
  model.output_layer.set_weights([8 * kernel, bias])
  return model


@pytest.fixture(scope='session')
def served(encoder, letters):
  return transcriber.Transcriber(encoder, letters, beam=8, max_seconds=3.0)


@pytest.fixture(scope='session')
def export_dir(served, encoder, tmp_path_factory):
  folder = tmp_path_factory.mktemp('served') / 'asr'
  saved_model.export(
    served,
    folder,
    'asr',
    {'note.txt': 'hello'},
    tflite.models(encoder, max_seconds=3.0),
  )
  return folder


def noise(samples, seed=0):
  """int16 `[samples]` that changes as speech does."""
  rng = np.random.default_rng(seed)
  loudness = np.repeat(rng.uniform(0, 1, samples // 800 + 1), 800)[:samples]
  return (8_000 * loudness * rng.normal(size=samples)).astype(np.int16)


@pytest.fixture(scope='session')
def sounds():
  return [noise(n, seed) for seed, n in enumerate((16_000, 8_123, 30_001))]


def padded(sounds):
  """Waveforms and lengths of a batch."""
  inputs = client.batch_of(sounds)
  return {name: tf.constant(value) for name, value in inputs.items()}
