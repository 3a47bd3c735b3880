"""A corpus reader of one's own, from `prepare` to the end of `train`."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from tff_asr.corpora import utterance
from tff_asr.corpora.readers import registration, sources

ROOT = pathlib.Path(__file__).parents[2]
WORDS = ('one', 'two', 'six')


class Tones(sources.Source):
  """Speakers who hum."""

  def __init__(self, speakers: int, hertz: float, words: tuple[str, ...]):
    self._speakers, self._hertz, self._words = speakers, hertz, words
    self.description = f'{speakers} tones from {hertz} Hz'

  def items(self):
    time = np.arange(16_000) / 16_000
    for number in range(self._speakers):
      tone = np.sin(2 * np.pi * (1 + number) * self._hertz * time)
      for word in self._words:
        audio = np.round(9_000 * tone).astype(np.int16)
        yield utterance.Utterance(f'tone{number}', word, audio, word)


READER = registration.Reader(
  'tones.',
  (
    registration.Setting(
      'speakers', registration.Kind.INTEGER, 2, 'number of speakers.', 1
    ),
    registration.Setting(
      'hertz', registration.Kind.NUMBER, 99.0, 'lowest frequency in Hz.'
    ),
    registration.Setting(
      'words', registration.Kind.NAMES, WORDS, 'words of each speaker.'
    ),
  ),
  Tones,
)

_PREPARE = """
import runpy, sys
from tests.pipelines import new_reader_test
from tff_asr.corpora.readers import by_name
by_name.register('tones', new_reader_test.READER)
runpy.run_module('pipelines.prepare', run_name='__main__', alter_sys=True)
"""


def call(program, *arguments, cwd):
  return subprocess.run(
    [sys.executable, *program, *arguments],
    cwd=ROOT,
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path]),
      'BUILD_WORKING_DIRECTORY': str(cwd),
      'TF_CPP_MIN_LOG_LEVEL': '3',
    },
    capture_output=True,
    text=True,
  )


def test_one_line_registers_a_reader_for_prepare_and_train(tmp_path):
  prepare = ('-c', _PREPARE)
  shown = call(prepare, '--help', cwd=tmp_path).stdout
  assert 'tones: tones.' in ' '.join(shown.split())
  assert 'tones: lowest frequency in Hz.' in ' '.join(shown.split())
  bad = call(
    prepare, '--source=tones', '--speakers=0', '--output=x', cwd=tmp_path
  )
  assert bad.returncode == 1 and '--speakers' in bad.stderr
  done = call(
    *(prepare, '--source=tones', '--speakers=4', '--words=one,two'),
    *('--hertz=150', '--output=store', '--holdout_clients=1'),
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr
  stores = [tmp_path / name for name in ('store', 'store-holdout')]
  found = [json.loads((s / 'store.json').read_text()) for s in stores]
  assert [(f['clients'], f['utterances']) for f in found] == [(3, 6), (1, 2)]
  assert {f['source'] for f in found} == {'4 tones from 150.0 Hz'}
  done = call(
    *(('-m', 'pipelines.train'), '--train_store=store', '--output_dir=run'),
    *('--eval_store=store-holdout', '--model=tiny', '--seed_clients=1'),
    *('--seed_epochs=1', '--rounds=1', '--cohort_size=1', '--client_steps=1'),
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr
  assert 'federated model, 1 round' in done.stdout
  assert (tmp_path / 'run' / 'report.html').exists()
