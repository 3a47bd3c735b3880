"""Common Voice and manifests."""

import numpy as np
import pytest
import soundfile
import soxr

from tests import stores
from tff_asr import errors
from tff_asr.corpora import client_store, preparation
from tff_asr.corpora.readers import common_voice, manifest, tables
from tff_asr.text import vocabularies


def write_audio(path, seconds=1.0, rate=16_000, seed=0, channels=1):
  rng = np.random.default_rng(seed)
  noise = soxr.resample(
    0.1 * rng.normal(size=int(8_000 * seconds)), 8_000, rate
  )
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, np.stack([noise] * channels, 1), rate)


def prepare(source, output, language='en'):
  texts = vocabularies.CharacterVocabulary(vocabularies.ALPHABETS[language])
  config = preparation.StoreConfig(texts)
  (summary,) = preparation.prepare(source, output, config)
  return summary, client_store.ClientStore(output)


@pytest.fixture
def release(tmp_path):
  """A small release: mp3 at several rates, ten columns, odd texts."""
  folder = tmp_path / 'cv-corpus' / 'fr'
  header = (
    'client_id path sentence up_votes down_votes age gender accents locale'
    ' segment'
  ).replace(' ', '\t')
  rows = {
    'train': [
      ('aa', 'one.mp3', 'L’été, ça va !'),
      ('aa', 'two.mp3', '"Où" est-elle ?'),
      ('bb', 'three', 'Trois'),
      ('bb', 'missing.mp3', 'Rien'),
      ('bb', 'digits.mp3', 'En 1999'),
    ],
    'dev': [('cc', 'four.mp3', 'Quatre')],
    'test': [('dd', 'five.mp3', 'Cinq')],
  }
  for i, (name, rate) in enumerate(
    dict(
      one=48_000,
      two=44_100,
      three=32_000,
      four=16_000,
      five=8_000,
      digits=48_000,
    ).items()
  ):
    write_audio(folder / 'clips' / f'{name}.mp3', 1.0 + i / 10, rate, seed=i)
  for split, clips in rows.items():
    lines = ['\t'.join([*clip, *[''] * 7]) for clip in clips]
    if split == 'train':
      lines.append('broken\tline')
    (folder / f'{split}.tsv').write_text('\n'.join([header, *lines]) + '\n')
  return folder


def test_a_common_voice_release_is_read_by_client(release, tmp_path):
  source = common_voice.CommonVoice(release, ['train'])
  summary, opened = prepare(source, tmp_path / 'store', 'fr')
  assert opened.client_ids == ['aa', 'bb']
  found = [r for c in opened.client_ids for r in stores.records(opened, c)]
  assert [(name, text) for name, text, _ in found] == [
    ('one', "l'été ça va"),
    ('two', 'où est-elle'),
    ('three', 'trois'),
  ]
  for (_, _, audio), seconds in zip(found, (1.0, 1.1, 1.2), strict=True):
    assert len(audio) == pytest.approx(16_000 * seconds, abs=2)
  assert summary.skipped == {
    'audio file missing': 1,
    'broken line': 1,
    'outside the vocabulary': 1,
  }


def test_official_splits_can_be_joined(release, tmp_path):
  source = common_voice.CommonVoice(release, ['dev', 'test'])
  _, opened = prepare(source, tmp_path / 'store')
  assert opened.client_ids == ['cc', 'dd']


@pytest.mark.parametrize(
  ('folder', 'splits', 'message'),
  [
    ('.', ['train'], 'clips'),
    ('fr', [], 'splits'),
    ('fr', ['validated'], 'validated.tsv cannot be read'),
  ],
)
def test_what_is_no_release_is_refused(release, folder, splits, message):
  source = common_voice.CommonVoice(release.parent / folder, splits)
  with pytest.raises(errors.UserError, match=message):
    source.survey()


def write_manifest(folder, rows, header='client_id\tpath\ttext'):
  table = folder / 'utterances.tsv'
  table.write_text('\n'.join([header, *map('\t'.join, rows)]) + '\n')
  return table


def test_a_manifest_takes_any_format(tmp_path):
  rows = []
  for i, suffix in enumerate(('wav', 'flac', 'mp3', 'ogg')):
    write_audio(tmp_path / 'sounds' / f'{suffix}.{suffix}', 1.0, 44_100, i, 2)
    rows.append(('someone', f'sounds/{suffix}.{suffix}', f'This is {"x" * i}.'))
  _, opened = prepare(
    manifest.Manifest(write_manifest(tmp_path, rows)), tmp_path / 'store'
  )
  found = stores.records(opened, 'someone')
  assert sorted((name, text) for name, text, _ in found) == sorted(
    (path, text.lower().rstrip('. ')) for _, path, text in rows
  )


def test_a_manifest_may_name_utterances_and_paths_anywhere(tmp_path):
  write_audio(tmp_path / 'far' / 'a.wav')
  path = str(tmp_path / 'far' / 'a.wav')
  table = write_manifest(
    tmp_path,
    [('yes', 'me', path, 'first'), ('no', 'me', '', 'second')],
    'text\tclient_id\tpath\tutterance_id',
  )
  summary, opened = prepare(manifest.Manifest(table), tmp_path / 'store')
  ((name, text, _),) = stores.records(opened, 'me')
  assert (name, text) == ('first', 'yes')
  assert summary.skipped == {'no path': 1}


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'no column client_id, path, text'),
    (b'client_id,path,text\na,b,c\n', 'separated by tabs'),
    (b'client_id\tpath\n', 'no column text'),
    (b'text\tclient_id\tpath\ttext\n', 'two columns text'),
    (b'\x00\xff\xfe\x00', 'no column'),
  ],
)
def test_what_is_no_manifest_is_refused(tmp_path, content, message):
  table = tmp_path / 'table.tsv'
  table.write_bytes(content)
  with pytest.raises(errors.UserError, match=message):
    manifest.Manifest(table).survey()


@pytest.mark.parametrize(
  'content',
  [
    b'\x7fELF\x02\x01\x1b[31m\x00' + bytes(range(256)) * 400,
    b'\x00\x1b[2J' * 5_000,
    'ä\u202e日\t'.encode() * 5_000,
  ],
)
def test_the_message_on_any_bytes_fits_a_terminal(tmp_path, content):
  table = tmp_path / 'table.tsv'
  table.write_bytes(content)
  with pytest.raises(errors.UserError, match='no column') as found:
    manifest.Manifest(table).survey()
  text = str(found.value).replace(str(table), '')
  assert text.isprintable() and len(text) < 500


def test_a_line_may_lack_empty_fields_at_its_end(tmp_path):
  header = 'client_id\tpath\ttext\tage\tnote'
  lines = [
    'a\tone.wav\tYES',
    'a\ttwo.wav\tYES\t20',
    'a\tthree.wav',
    'a\tfour.wav\tYES\t20\t\tmore',
    'a\tfive.wav\tYES',
  ]
  table = tmp_path / 'table.tsv'
  table.write_text('\n'.join([header, *lines]))
  found = [i for _, i in tables.rows(table, ('client_id', 'path', 'text'))]
  assert found[:2] == [
    {
      'client_id': 'a',
      'path': f'{n}.wav',
      'text': 'YES',
      'age': age,
      'note': '',
    }
    for n, age in (('one', ''), ('two', '20'))
  ]
  # Without an end of its line the last may be cut off within a field.
  assert [(i.utterance_id, i.reason, i.detail) for i in found[2:]] == [
    ('table.tsv:4', 'broken line', '2 fields of 5'),
    ('table.tsv:5', 'broken line', '6 fields of 5'),
    ('table.tsv:6', 'broken line', '3 fields of 5, cut off'),
  ]


def test_a_line_that_is_not_utf8_costs_itself_alone(tmp_path):
  """In Latin-1 two speakers would have become one, or nobody."""
  write_audio(tmp_path / 'a.wav')
  table = tmp_path / 'table.tsv'
  lines = ['client_id\tpath\ttext', 'José\ta.wav\tyes', 'me\ta.wav\tyes']
  table.write_bytes('\n'.join([*lines, '']).encode('latin-1'))
  summary, opened = prepare(manifest.Manifest(table), tmp_path / 'store')
  assert opened.client_ids == ['me']
  assert summary.skipped == {'not UTF-8': 1}


@pytest.mark.parametrize('separator', ['\r', '\x0b', '\x0c', '\x85', '\u2028'])
def test_a_text_may_hold_odd_ends_of_lines(tmp_path, separator):
  write_audio(tmp_path / 'a.wav')
  table = write_manifest(
    tmp_path,
    [
      ('me', 'a.wav', f'hello{separator}there'),
      ('me', 'b.wav', 'a' * 200_000),  # Longer than `csv` would read.
    ],
  )
  summary, opened = prepare(manifest.Manifest(table), tmp_path / 'store')
  ((_, text, _),) = stores.records(opened, 'me')
  assert text == 'hello there'
  assert summary.skipped == {'audio file missing': 1}


def test_a_manifest_may_end_its_lines_as_windows_does(tmp_path):
  write_audio(tmp_path / 'a.wav')
  table = write_manifest(tmp_path, [('me', 'a.wav', 'hello'), ('',)])
  table.write_bytes(table.read_bytes().replace(b'\n', b'\r\n'))
  summary, opened = prepare(manifest.Manifest(table), tmp_path / 'store')
  ((_, text, _),) = stores.records(opened, 'me')
  assert text == 'hello' and not summary.skipped
