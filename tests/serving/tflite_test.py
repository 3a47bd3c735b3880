"""Models for phones decode as the encoder does."""

import jiwer
import numpy as np
import pytest
import tensorflow as tf

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


def changed(sound, value):
  """The sound with another sample in its middle."""
  return np.concatenate([sound[:8_000], np.float32([value]), sound[8_001:]])


@pytest.mark.parametrize('kind', tflite.KINDS)
@pytest.mark.parametrize(
  ('change', 'error', 'message'),
  [
    (lambda s: s, tflite.NO_ERROR, b''),
    (lambda s: 1e30 * s, tflite.NO_ERROR, b''),
    (lambda s: changed(s, np.nan), tflite.NO_NUMBERS, b'no numbers'),
    (lambda s: changed(s, np.inf), tflite.NO_NUMBERS, b'no numbers'),
    (lambda s: changed(s, -np.inf), tflite.NO_NUMBERS, b'no numbers'),
    (lambda s: np.tile(s, 3), tflite.NO_ERROR, b''),
    (lambda s: np.tile(s, 4)[:48_001], tflite.TOO_LONG, b'longer than 3 s'),
    (lambda s: np.full(48_001, np.nan, 'f'), tflite.TOO_LONG, b'longer'),
  ],
)
def test_errors_are_those_of_a_server(
  served, export_dir, sounds, kind, change, error, message
):
  path = export_dir / '1/assets.extra' / f'{kind}.tflite'
  waveform = change(sounds[0] / np.float32(2**15))
  interpreter = tf.lite.Interpreter(str(path), num_threads=1)
  found = interpreter.get_signature_runner()(waveform=waveform)
  assert found['error'] == error
  answer = served.functions['serving_default'](
    waveform=waveform[None], lengths=tf.constant([len(waveform)])
  )
  assert message in answer['error'].numpy()[0]
  assert bool(error) == bool(answer['error'].numpy()[0])
  assert (len(found['tokens']) == 0) == (answer['text'].numpy()[0] == b'')
