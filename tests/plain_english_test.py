"""Hard phrases are counted; well-written English is left alone."""

import pathlib

import dp_accounting
import pytest

from tools import plain_english

FILE = pathlib.Path('x')


def found(words, kind='document'):
  text = plain_english.Text(FILE, 1, words, kind)
  return [phrase.words for phrase in plain_english.phrases(text)]


@pytest.mark.parametrize(
  ('words', 'kind', 'phrase'),
  [
    ('Returns what gives the function.', 'docstring', 'what'),
    ('It prints of\nwhat it consists.', 'document', 'what'),
    ('The last line is that of its error.', 'document', 'that of'),
    ('The rate is that\n  of the seed.', 'document', 'that of'),
    ('A page for those who read it.', 'document', 'those'),
    ('Weights, and those of the seed.', 'document', 'those'),
    ('The command goes on.', 'document', 'goes on'),
    ('A stopped run is gone on with.', 'document', 'is gone'),
    ('The page shows all that it has.', 'document', 'all that'),
    ('A run without it is told so.', 'document', 'is told'),
    ('The words that were heard.', 'document', 'were heard'),
    ('The name of who knows the seed.', 'document', 'of who'),
    ('Whoever reads it may copy it.', 'document', 'Whoever'),
    ('Stopped, the command resumes.', 'document', 'Stopped,'),
    ('First sentence. Called again, it resumes.', 'document', 'Called again,'),
    ('So is an update that fails.', 'document', 'So is'),
    ('Bytes that are no text.', 'document', 'are no'),
    ('As many clients are there as before.', 'document', 'are there'),
    ('How wide a search is.', 'docstring', 'How'),
    ('Without a limit of time.', 'docstring', 'Without'),
    ('To the base of 10.', 'docstring', 'To'),
    ('Steps in which it rises; 0 for none.', 'help', 'it'),
    ('How fast the rate falls.', 'help', 'How'),
  ],
)
def test_a_hard_phrase_is_found(words, kind, phrase):
  assert phrase in found(words, kind)


@pytest.mark.parametrize(
  ('words', 'kind'),
  [
    ('Returns the traced function of a block.', 'docstring'),
    ('Whether the model is trained.', 'docstring'),
    ('Reads a file. Without a header it raises an error.', 'docstring'),
    ('Rounds of the run; if it has ended, the last.', 'help'),
    ('Those speakers are held out, and that model is saved.', 'document'),
    ('What is epsilon? It bounds the loss of privacy.', 'document'),
    ('The error says what to do.', 'document'),
    ('There is no guarantee.', 'document'),
    ('Clients that fail are left out of the round.', 'document'),
    ('The speaker who is held out has a voice.', 'document'),
    ('To resume an interrupted run, repeat the command.', 'document'),
  ],
)
def test_plain_english_is_left_alone(words, kind):
  assert not found(words, kind)


def test_documents_of_others_are_well_below_the_limit():
  folder = pathlib.Path(dp_accounting.__file__).parent
  texts = plain_english.texts_of(folder.as_posix(), FILE)
  hits = sum(len(plain_english.phrases(text)) for text in texts)
  words = sum(map(plain_english.word_count, texts))
  assert words > 10_000
  assert 1000 * hits / words < plain_english.LIMIT / 2


def test_code_and_headings_of_markdown_are_no_prose(tmp_path):
  page = tmp_path / 'page.md'
  page.write_text(
    '# What is left out\n\n```sh\nwhat goes on\n```\n'
    'A `what` and\n| those of | a [link](what.md) |\n\n* It goes on.\n'
  )
  texts = plain_english.texts_of('page.md', tmp_path)
  hits = [p for text in texts for p in plain_english.phrases(text)]
  assert [(p.line, p.words) for p in hits] == [(7, 'those'), (9, 'goes on')]
  assert sum(map(plain_english.word_count, texts)) == 10


def test_docstrings_and_help_are_read_from_python(tmp_path):
  (tmp_path / 'pipelines').mkdir()
  source = (
    '"""Reads a page."""\n\n'
    "X = flags.DEFINE_float('x', 1.0,\n  f'Rate of {NAME}; '\n  'as of it.',\n"
    '  lower_bound=0)\n'
    "flag_kinds.define_path('y', '', help='How it falls.')\n"
    'def f():\n  """Returns it.\n\n  What it is.\n  """\n'
  )
  (tmp_path / 'pipelines' / 'page.py').write_text(source)

  def hits(name):
    texts = plain_english.texts_of(name, tmp_path)
    assert texts
    return [
      (p.line, p.words) for text in texts for p in plain_english.phrases(text)
    ]

  assert hits('pipelines') == [(11, 'What')]
  assert hits('help') == [(4, 'as of'), (7, 'How'), (7, 'it')]


@pytest.mark.parametrize(('held', 'code'), [((), 0), (('README.md',), 1)])
def test_only_held_documents_fail(monkeypatch, tmp_path, capsys, held, code):
  (tmp_path / 'README.md').write_text('The command goes on.\n')
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(plain_english, 'HELD', held)
  assert plain_english.main(['README.md']) == code
  output = capsys.readouterr().out
  assert ('README.md:1: goes on' in output) == bool(code)


def test_a_held_document_that_is_missing_fails(monkeypatch, tmp_path, capsys):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(plain_english, 'HELD', ('docs/moved.md',))
  assert plain_english.main([]) == 1
  assert 'docs/moved.md: no such document' in capsys.readouterr().out
