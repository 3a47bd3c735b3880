"""Files, some of them bad, to lines."""

import json

import numpy as np
import pytest
import soundfile

from tff_asr import errors
from tff_asr.commands import transcribe
from tff_asr.serving import client


class Echo(client.Client):
  """Says how long an utterance is; notes the batches."""

  def __init__(self):
    self.batches = []

  def transcribe(self, utterances):
    self.batches.append([len(u) for u in utterances])
    return [
      client.Transcript(f'{len(u)} samples', 0.5, (), 'silence' * (len(u) == 7))
      for u in utterances
    ]

  def _predict(self, inputs):
    raise NotImplementedError


def sound(path, samples):
  soundfile.write(path, np.zeros(samples, np.int16), 16_000)
  return path


def test_every_file_has_its_line_or_its_fault(tmp_path, capfd):
  good = sound(tmp_path / 'good.wav', 500)
  refused = sound(tmp_path / 'refused.flac', 7)
  (tmp_path / 'text').write_text('no sound')
  files = [good, tmp_path / 'nowhere', refused, tmp_path / 'text', good]
  with pytest.raises(errors.UserError) as error:
    transcribe.transcribe(Echo(), files)
  assert capfd.readouterr().out == f'{good}\t500 samples\n' * 2
  assert str(error.value).startswith('3 of 5 files cannot be transcribed: ')
  for name in 'nowhere (No such', 'refused.flac (silence', 'text (cannot be':
    assert name in str(error.value)
  transcribe.transcribe(Echo(), [good], as_json=True)
  assert json.loads(capfd.readouterr().out) == {
    'file': str(good),
    **{'text': '500 samples', 'confidence': 0.5, 'tokens': [], 'error': ''},
  }


def test_batches_are_small_and_in_order(tmp_path):
  lengths = [1_000] * 9 + [50 * 16_000] * 3 + [130 * 16_000, 2_000]
  files = [sound(tmp_path / f'{i}.wav', n) for i, n in enumerate(lengths)]
  echo = Echo()
  transcribe.transcribe(echo, files)
  assert [n for batch in echo.batches for n in batch] == lengths
  for batch in echo.batches:
    assert len(batch) == 1 or len(batch) * max(batch) <= 120 * 16_000
    assert len(batch) <= 8


def test_nothing_to_transcribe_is_said():
  with pytest.raises(errors.UserError, match='one audio file or more'):
    transcribe.transcribe(Echo(), [])
