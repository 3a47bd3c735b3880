"""The table of corpus readers."""

import dataclasses
import pathlib

import pytest

from tff_asr import errors
from tff_asr.corpora.readers import by_name, registration
from tff_asr.corpora.readers.synthetic import synthetic_corpus
from tools import plain_english

NUMBER = registration.Setting(
  'number', registration.Kind.INTEGER, 1, 'number of items.', lower_bound=1
)


def reader(*settings):
  return registration.Reader('a test.', settings, lambda **values: values)


def values(**given):
  return {s.name: s.default for s in by_name.settings()} | given


def test_a_reader_takes_its_own_settings(monkeypatch):
  monkeypatch.setitem(by_name.READERS, 'test', reader(NUMBER))
  assert by_name.open_corpus('test', values(number=3)) == {'number': 3}


def test_readers_share_a_setting_with_the_help_of_each():
  (shared,) = (s for s in by_name.settings() if s.name == 'input_dir')
  for name in 'librispeech: one or several', 'common_voice: folder of one':
    assert name in shared.help


@pytest.mark.parametrize(
  'change',
  [
    dict(kind=registration.Kind.NUMBER),
    dict(default=2),
    dict(lower_bound=None),
  ],
)
def test_a_shared_setting_of_two_meanings_is_refused(change):
  other = reader(dataclasses.replace(NUMBER, help='size.', **change))
  with pytest.raises(ValueError, match='other has a setting number'):
    registration.merged([('one', reader(NUMBER)), ('other', other)])


def test_every_help_text_is_a_phrase_in_plain_english():
  texts = [s.help for r in by_name.READERS.values() for s in r.settings]
  texts += [r.help for r in by_name.READERS.values()]
  for text in texts:
    assert text.endswith('.') and text[0].islower(), text
    found = plain_english.Text(pathlib.Path('x'), 1, text, plain_english.HELP)
    assert not plain_english.phrases(found), text


def test_the_synthetic_reader_offers_every_setting_of_its_corpus():
  fields = dataclasses.fields(synthetic_corpus.SyntheticConfig)
  offered = {s.name for s in synthetic_corpus.READER.settings}
  assert offered == {field.name for field in fields}


@pytest.mark.parametrize(
  ('name', 'given', 'message'),
  [
    ('librispeech', {}, '`input_dir`'),
    ('common_voice', {}, '`input_dir`'),
    (
      'common_voice',
      {'input_dir': (pathlib.Path('a'),) * 2},
      'has 2: give one',
    ),
    ('tsv', {'manifest': None}, '`manifest`'),
    ('synthetic', {'room_spread': 2.0}, '`room_spread=2.0`'),
  ],
)
def test_settings_that_a_reader_cannot_use_are_named(name, given, message):
  with pytest.raises(errors.UserError, match=message):
    by_name.open_corpus(name, values(**given))
