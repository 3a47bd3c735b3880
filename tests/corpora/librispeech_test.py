import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_io as tfio

from tff_asr import errors
from tff_asr.corpora import librispeech, store, utterance


def write_corpus(folder, speakers):
  """Writes `{speaker: [(samples or bytes, transcript line rest)]}`."""
  rng = np.random.default_rng(0)
  for speaker, items in speakers.items():
    chapter = folder / speaker / '7'
    chapter.mkdir(parents=True)
    lines = []
    for i, (audio, text) in enumerate(items):
      name = f'{speaker}-7-{i:04d}'
      if isinstance(audio, int):
        samples = rng.integers(-9_000, 9_000, [audio, 1], np.int16)
        audio = tfio.audio.encode_flac(tf.constant(samples), 16_000).numpy()
      if audio is not None:
        (chapter / f'{name}.flac').write_bytes(audio)
      if text is not None:
        lines.append(f'{name} {text}')
    (chapter / f'{speaker}-7.trans.txt').write_text('\n'.join(lines) + '\n')
  return folder


def test_speakers_are_clients_and_text_is_normalised(tmp_path):
  corpus = write_corpus(
    tmp_path / 'corpus',
    {'12': [(16_000, 'HELLO  THERE'), (8_000, 'YES')], '5': [(16_000, "IT'S")]},
  )
  assert librispeech.count(corpus) == 3
  items = list(librispeech.read(corpus))
  assert [(i.client_id, i.utterance_id, i.text) for i in items] == [
    ('12', '12-7-0000', 'hello there'),
    ('12', '12-7-0001', 'yes'),
    ('5', '5-7-0000', "it's"),
  ]
  assert [len(i.audio) for i in items] == [16_000, 8_000, 16_000]


def test_several_subsets_keep_a_speaker_together(tmp_path):
  for subset in 'a', 'b':
    write_corpus(tmp_path / subset, {s: [(16_000, 'YES')] for s in ('1', '2')})
  clients = [i.client_id for i in librispeech.read(tmp_path)]
  assert clients == ['1', '1', '2', '2']


def test_bad_data_is_counted_and_the_rest_is_kept(tmp_path):
  good = tfio.audio.encode_flac(
    tf.constant(np.random.default_rng(0).integers(-9, 9, [9_000, 1], np.int16)),
    16_000,
  ).numpy()
  corpus = write_corpus(
    tmp_path / 'corpus',
    {
      '1': [
        (16_000, 'FINE'),
        (b'this is no audio', 'NOT AUDIO'),
        (good[: len(good) // 2], 'TRUNCATED'),
        (None, 'NO FILE'),
        (16_000, ''),
        (16_000, 'ÉTÉ 7'),
        (1_600, 'FAR TOO MUCH TEXT FOR A TENTH OF A SECOND'),
        (16_000 * 31, 'LONG'),
        (16_000, None),
      ]
    },
  )
  summary = store.write(
    tmp_path / 'store', librispeech.read(corpus), 'test', max_seconds=30.0
  )
  assert (summary.clients, summary.utterances) == (1, 1)
  assert summary.skipped == {
    'corrupt audio': 2,
    'audio file missing': 1,
    'empty transcript': 1,
    'characters outside the alphabet': 1,
    'transcript longer than its frames': 1,
    'too long': 1,
    'no transcript': 1,
  }
  listed = (tmp_path / 'store' / 'skipped.tsv').read_text().splitlines()
  reasons = collections.Counter(line.split('\t')[2] for line in listed)
  assert reasons == summary.skipped


@pytest.mark.parametrize('make', [lambda p: None, lambda p: p.mkdir()])
def test_a_folder_without_a_corpus_is_refused(make, tmp_path):
  make(tmp_path / 'nothing')
  with pytest.raises(errors.UserError, match='nothing'):
    librispeech.count(tmp_path / 'nothing')


def test_one_transcript_that_is_not_utf8_costs_only_its_lines(tmp_path):
  corpus = write_corpus(
    tmp_path, {'1': [(16_000, 'YES')], '2': [(8_000, 'NO')]}
  )
  transcript = corpus / '1' / '7' / '1-7.trans.txt'
  transcript.write_bytes(b'1-7-0000 \xff\xfe\n')
  checked = [
    utterance.check(i, store.vocabulary.CharacterVocabulary(), 30.0)
    for i in librispeech.read(corpus)
  ]
  assert [type(c) for c in checked] == [utterance.Skipped, utterance.Utterance]
