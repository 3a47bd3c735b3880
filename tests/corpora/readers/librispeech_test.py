import collections
import os

import numpy as np
import pytest
import soundfile

from tests import stores
from tff_asr import errors
from tff_asr.corpora import preparation
from tff_asr.corpora.readers import librispeech


def write_corpus(folder, speakers, seed=0):
  """Writes `{speaker: [(samples or bytes, transcript line rest)]}`."""
  rng = np.random.default_rng(seed)
  for speaker, items in speakers.items():
    chapter = folder / speaker / '7'
    chapter.mkdir(parents=True)
    lines = []
    for i, (audio, text) in enumerate(items):
      path = chapter / f'{speaker}-7-{i:04d}.flac'
      if isinstance(audio, int):
        samples = rng.integers(-9_000, 9_000, audio, np.int16)
        soundfile.write(path, samples, 16_000)
      elif audio is not None:
        path.write_bytes(audio)
      if text is not None:
        lines.append(f'{path.stem} {text}')
    (chapter / f'{speaker}-7.trans.txt').write_text('\n'.join(lines) + '\n')
  return folder


def read(*folders):
  return list(librispeech.LibriSpeech(folders).items())


def prepare(corpus, output, **kwargs):
  config = preparation.StoreConfig(stores.ENGLISH, **kwargs)
  source = librispeech.LibriSpeech([corpus])
  return preparation.prepare(source, output, config)[0]


def test_speakers_are_clients(tmp_path):
  corpus = write_corpus(
    tmp_path,
    {'12': [(16_000, 'HELLO  THERE'), (8_000, 'YES')], '5': [(16_000, "IT'S")]},
  )
  items = read(corpus)
  assert [(i.client_id, i.utterance_id, i.text) for i in items] == [
    ('12', '12-7-0000', 'HELLO  THERE'),
    ('12', '12-7-0001', 'YES'),
    ('5', '5-7-0000', "IT'S"),
  ]
  assert all(i.path.exists() for i in items)
  assert librispeech.LibriSpeech([corpus]).survey() == (['12', '5'], 3)


@pytest.mark.parametrize('separator', ['\r', '\x0b', '\x85', '\u2028'])
def test_a_transcript_may_hold_odd_ends_of_lines(tmp_path, separator):
  text = f'HELLO{separator}THERE'
  corpus = write_corpus(tmp_path, {'5': [(16_000, text), (16_000, 'YES')]})
  assert [i.text for i in read(corpus)] == [text, 'YES']


def test_several_subsets_keep_a_speaker_together(tmp_path):
  subsets = [tmp_path / 'a', tmp_path / 'b']
  for subset in subsets:
    write_corpus(subset, {s: [(16_000, 'YES')] for s in ('1', '2')})
  for items in read(tmp_path), read(*subsets):
    assert [i.client_id for i in items] == ['1', '1', '2', '2']


def test_linked_folders_are_read_once_and_endless_ones_end(tmp_path):
  write_corpus(tmp_path / 'elsewhere', {'1': [(16_000, 'YES')]})
  corpus = tmp_path / 'corpus'
  corpus.mkdir()
  (corpus / 'link').symlink_to(tmp_path / 'elsewhere')
  (tmp_path / 'elsewhere' / 'up').symlink_to(corpus)
  assert [i.utterance_id for i in read(corpus)] == ['1-7-0000']


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path, monkeypatch):
  corpus = write_corpus(
    tmp_path, {'1': [(16_000, 'YES')], '2': [(16_000, 'NO')]}
  )
  scandir = os.scandir

  def refuse(path):  # Who runs tests as root may list any folder.
    if os.fspath(path).endswith('2'):
      raise PermissionError(13, 'Permission denied', os.fspath(path))
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', refuse)
  skipped, _ = read(corpus)
  assert skipped.reason == 'folder unreadable'
  assert skipped.utterance_id == str(corpus / '2')


def test_bad_data_is_counted_and_the_rest_is_kept(tmp_path):
  good = tmp_path / 'good.flac'
  soundfile.write(
    good, np.random.default_rng(0).integers(-9, 9, 9_000, np.int16), 16_000
  )
  contents = good.read_bytes()
  corpus = write_corpus(
    tmp_path / 'corpus',
    {
      '1': [
        (16_000, 'FINE'),
        (b'this is no audio', 'NOT AUDIO'),
        (contents[: len(contents) // 2], 'TRUNCATED'),
        (None, 'NO FILE'),
        (16_000, ''),
        (16_000, '77'),
        (1_600, 'FAR TOO MUCH TEXT FOR A TENTH OF A SECOND'),
        (16_000 * 31, 'LONG'),
        (16_000, None),
      ]
    },
  )
  summary = prepare(corpus, tmp_path / 'store')
  assert summary.utterances == 1
  assert summary.skipped == {
    'corrupt audio': 2,
    'audio file missing': 1,
    'empty transcript': 1,
    'outside the vocabulary': 1,
    'transcript longer than its frames': 1,
    'too long': 1,
    'no transcript': 1,
  }
  listed = (tmp_path / 'store' / 'skipped.tsv').read_text().splitlines()[1:]
  reasons = collections.Counter(line.split('\t')[2] for line in listed)
  assert reasons == summary.skipped


@pytest.mark.parametrize('make', [lambda p: None, lambda p: p.mkdir()])
def test_a_folder_without_a_corpus_is_refused(make, tmp_path):
  make(tmp_path / 'nothing')
  with pytest.raises(errors.UserError, match='nothing'):
    read(tmp_path / 'nothing')


def test_transcripts_that_are_not_utf8_cost_only_their_lines(tmp_path):
  corpus = write_corpus(
    tmp_path / 'corpus',
    {'1': [(16_000, 'YES')] * 2, '2': [(8_000, 'NO')], '3': [(9_000, 'NO')]},
  )
  broken = corpus / '1' / '7' / '1-7.trans.txt'
  broken.write_bytes(b'1-7-0000 \xff\xfe\n1-7-0001 YES\n')
  with_mark = corpus / '2' / '7' / '2-7.trans.txt'
  with_mark.write_text('2-7-0000 NO\n', encoding='utf-8-sig')
  wide = corpus / '3' / '7' / '3-7.trans.txt'
  wide.write_text('3-7-0000 NO\n', encoding='utf-16')
  summary = prepare(corpus, tmp_path / 'store')
  assert summary.utterances == 2
  assert summary.skipped['not UTF-8'] == 2


@pytest.mark.parametrize('separator', ['\t', '  ', ' \t ', '\u00a0'])
def test_any_white_space_parts_the_name_from_the_text(tmp_path, separator):
  corpus = write_corpus(tmp_path, {'5': [(16_000, 'ONE TWO')]})
  transcript = corpus / '5' / '7' / '5-7.trans.txt'
  transcript.write_text(f'5-7-0000{separator}ONE TWO\n', encoding='utf-8')
  assert [(i.utterance_id, i.text) for i in read(corpus)] == [
    ('5-7-0000', 'ONE TWO')
  ]


def test_speakers_with_hyphens_are_told_by_their_folders(tmp_path):
  names = ['spk-01', 'spk-02', 'spk', 'a-b-c']
  corpus = write_corpus(tmp_path / 'a', {n: [(9_000, 'YES')] for n in names})
  assert [i.client_id for i in read(corpus)] == sorted(names)
  # Chapters beside each other in the folder of a speaker.
  for name in names:
    for path in (corpus / name / '7').iterdir():
      path.rename(corpus / name / path.name)
    (corpus / name / '7').rmdir()
  assert [i.client_id for i in read(corpus)] == sorted(names)


@pytest.mark.parametrize(
  'place',
  [
    'flat/spk-01-7',  # Chapter 7 of `spk-01`, or chapter 01-7 of `spk`.
    '30/1001/1001',
    '84/121/84_121',
    'anna/ch-1/ch-1',
    'Jean-Paul/Jean-Paul',
    'a/b/c-d',
  ],
)
def test_a_name_that_could_be_of_several_speakers_is_named(tmp_path, place):
  path = tmp_path / f'{place}.trans.txt'
  path.parent.mkdir(parents=True)
  path.write_text(f'{path.parent.name}-0 YES\n')
  write_corpus(tmp_path, {'5': [(9_000, 'YES')]})
  other, skipped = sorted(read(tmp_path), key=lambda i: i.client_id)[::-1]
  assert (skipped.client_id, skipped.reason) == ('', 'speaker unclear')
  assert place in skipped.utterance_id
  assert other.client_id == '5'


def test_numbers_tell_a_speaker_wherever_they_lie(tmp_path):
  corpus = write_corpus(tmp_path / 'a', {'84': [(9_000, 'YES')]})
  (corpus / '84' / '7').rename(tmp_path / 'flat')
  assert [i.client_id for i in read(tmp_path / 'flat')] == ['84']


def test_no_audio_is_passed_over_in_silence(tmp_path):
  corpus = write_corpus(
    tmp_path, {'1': [(9_000, 'YES')], '2': [(9_000, 'YES')]}
  )
  for name in ('1/7/extra.flac', '1/7/1-7-0009.flac', '1/7/x.FLAC', '1/a.wav'):
    (corpus / name).write_bytes(b'')
  (corpus / '2' / '7' / '2-7.trans.txt').unlink()
  found = read(corpus)
  assert [(i.client_id, i.utterance_id) for i in found[:2]] == [
    ('1', '1-7-0000'),
    ('1', '1-7-0009.flac'),
  ]
  assert {i.reason for i in found[1:]} == {'no transcript'}
  assert [i.utterance_id for i in found[2:]] == [
    str(corpus / name)
    for name in ('1/a.wav', '1/7/extra.flac', '1/7/x.FLAC', '2/7/2-7-0000.flac')
  ]


def test_transcripts_are_known_in_capitals(tmp_path):
  corpus = write_corpus(tmp_path, {'1': [(9_000, 'YES')]})
  path = corpus / '1' / '7' / '1-7.trans.txt'
  path.rename(path.with_name('1-7.TRANS.TXT'))
  assert [i.client_id for i in read(corpus)] == ['1']


def test_what_systems_keep_beside_files_is_no_part_of_a_corpus(tmp_path):
  corpus = write_corpus(tmp_path, {n: [(9_000, 'YES')] for n in ('1', '2')})
  expected = read(corpus)
  for chapter in sorted(corpus.glob('*/*')):
    for path in list(chapter.iterdir()):
      path.with_name(f'._{path.name}').write_bytes(b'\x00\x05\x16\x07')
      for folder in '.AppleDouble', '__MACOSX':
        (chapter / folder).mkdir(exist_ok=True)
        (chapter / folder / path.name).write_bytes(b'\x00\x05\x16\x07')
  assert read(corpus) == expected
