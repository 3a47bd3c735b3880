"""Models for phones hear what the encoder hears."""

import jiwer
import numpy as np
import pytest

from tests.serving import conftest
from tff_asr.serving import tflite


@pytest.mark.parametrize('kind', tflite.KINDS)
def test_texts_are_much_the_same(served, export_dir, letters, sounds, kind):
  path = export_dir / '1/assets.extra' / f'{kind}.tflite'
  transcribe = tflite.load(path, letters)
  inputs = conftest.padded(sounds)
  found = served.functions['serving_default'](**inputs)['text'].numpy()
  expected = [t.decode() for t in found]
  texts = [transcribe(s / np.float32(2**15)) for s in sounds]
  # Weights without training: many outputs are nearly as good as the best.
  assert jiwer.cer(expected, texts) < {'float16': 0.02, 'int8': 0.1}[kind]


@pytest.mark.parametrize('samples', [0, 1, 399, 719, 720])
def test_short_ones_are_answered(export_dir, letters, samples):
  path = export_dir / '1/assets.extra/float16.tflite'
  transcribe = tflite.load(path, letters)
  assert transcribe(np.ones(samples, np.float32)).strip() == '' or samples > 719
