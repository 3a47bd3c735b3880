import io
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import sentencepiece

from tff_asr import errors
from tff_asr.text import (
  normalisation,
  sentence_pieces,
  vocabularies,
  vocabulary_loading,
)

ENGLISH = vocabularies.CharacterVocabulary()


def words(alphabet):
  """Clean texts: words of the alphabet with single spaces."""
  letters = alphabet.replace(' ', '')
  word = st.text(letters, min_size=1, max_size=8)
  return st.lists(word, max_size=6).map(' '.join)


@pytest.fixture(scope='session')
def pieces(tmp_path_factory):
  folder = tmp_path_factory.mktemp('pieces')
  text = folder / 'public.txt'
  lines = [
    "Call me Ishmael, it's a long story.",
    'Some years ago - never mind how long precisely -',
    'having little or no money in my purse,',
    'I thought I would sail about a little',
    'and see the watery part of the world.',
    'Lines with 7 digits are left out.',
  ]
  text.write_text('\n'.join(lines * 5), encoding='utf-8')
  output = folder / 'small.model'
  count = sentence_pieces.train([text], 50, normalisation.ENGLISH, output)
  assert count == 25
  return output


def test_english_has_the_papers_thirty_outputs_and_blank_is_zero():
  assert ENGLISH.size == 30
  tokens = set(ENGLISH.encode(ENGLISH.alphabet.strip() + ' a'))
  assert tokens == set(range(1, 30))
  assert vocabularies.BLANK not in tokens


def test_a_text_has_a_space_on_each_side():
  space = ENGLISH.encode('')[0]
  tokens = ENGLISH.encode('ab')
  assert tokens[0] == tokens[-1] == space
  assert len(tokens) == 4


@given(st.sampled_from(sorted(vocabularies.ALPHABETS)), st.data())
def test_decoding_undoes_encoding_of_characters(language, data):
  alphabet = vocabularies.ALPHABETS[language]
  text = data.draw(words(alphabet))
  texts = vocabularies.CharacterVocabulary(alphabet)
  assert texts.decode(texts.encode(text)) == text


@settings(max_examples=200)
@given(words(normalisation.ENGLISH))
def test_decoding_undoes_encoding_of_pieces(pieces, text):
  texts = sentence_pieces.SentencePieceVocabulary(pieces.read_bytes())
  tokens = texts.encode(text)
  assert all(0 < t < texts.size for t in tokens)
  assert texts.decode(tokens) == text


def test_pieces_are_longer_than_characters_and_have_the_alphabet(pieces):
  texts = vocabulary_loading.by_name(f'spm:{pieces.name}', pieces.parent)
  assert texts.size == 51
  assert sorted(texts.alphabet) == sorted(normalisation.ENGLISH)
  text = 'call me a little long story'
  assert len(texts.encode(text)) < len(ENGLISH.encode(text))


def test_what_pieces_cannot_write_is_refused(pieces):
  texts = vocabulary_loading.by_name(f'spm:{pieces}', pieces.parent)
  for text in 'été', 'route 66', 'two  spaces', '北京':
    with pytest.raises(vocabularies.OutOfVocabularyError):
      texts.encode(text)


def test_blanks_are_left_out():
  assert ENGLISH.decode([0, *ENGLISH.encode('a'), 0, 0]) == 'a'


def test_unknown_characters_are_all_named():
  with pytest.raises(vocabularies.OutOfVocabularyError, match="'1' 'é'"):
    ENGLISH.encode('né1')


@pytest.mark.parametrize('characters', ['', 'ab', 'ab a'])
def test_a_character_is_given_once_and_there_is_a_space(characters):
  with pytest.raises(ValueError, match='once'):
    vocabularies.CharacterVocabulary(characters)


def test_what_is_saved_is_what_is_loaded(pieces):
  names = [*vocabularies.ALPHABETS, f'spm:{pieces}']
  texts = [vocabulary_loading.by_name(name, pieces.parent) for name in names]
  for one, other in itertools.product(texts, texts):
    loaded = vocabulary_loading.from_json(one.to_json())
    assert (loaded == other) == (one is other)
    assert loaded.encode('a story') == one.encode('a story')


@pytest.mark.parametrize(
  'content', [{}, [], {'type': 'runes'}, {'type': 'characters'}]
)
def test_what_is_no_vocabulary_is_refused(content):
  with pytest.raises(ValueError, match='vocabulary'):
    vocabulary_loading.from_json(content)


def test_files_that_cannot_be_used_are_named(pieces, tmp_path):
  (tmp_path / 'text').write_text('This is no model.')
  for name, message in (
    ('klingon', 'spm:FILE'),
    ('spm:nowhere.model', 'nowhere.model cannot be read'),
    ('spm:text', 'not a SentencePiece model'),
  ):
    with pytest.raises(errors.UserError, match=message):
      vocabulary_loading.by_name(name, tmp_path)
  train = sentence_pieces.train
  output = tmp_path / 'new.model'
  nowhere = tmp_path / 'nowhere'
  for arguments, message in (
    (([nowhere], 50, ENGLISH.alphabet, output), 'nowhere'),
    (([tmp_path / 'text', nowhere], 50, ENGLISH.alphabet, output), 'nowhere'),
    (([tmp_path / 'text'], 5_000, ENGLISH.alphabet, output), '5000 pieces'),
    (([pieces], 50, ENGLISH.alphabet, pieces), 'exists already'),
  ):
    with pytest.raises(errors.UserError, match=message):
      train(*arguments)
  (tmp_path / 'digits').write_text('1 2 3\n4 5 6\n')
  with pytest.raises(errors.UserError, match='No line'):
    train([tmp_path / 'digits'], 50, ENGLISH.alphabet, output)
  assert not output.exists()


@given(st.lists(st.integers(1, 2), max_size=5))
def test_ctc_frames_is_the_length_of_the_shortest_alignment(tokens):
  """Compared with a search over all alignments, the blank being 0."""

  def collapse(path):
    return [t for t, _ in itertools.groupby(path) if t]

  shortest = next(
    n
    for n in itertools.count()
    if any(
      collapse(path) == tokens
      for path in itertools.product((0, 1, 2), repeat=n)
    )
  )
  assert vocabularies.ctc_frames(tokens) == shortest


@given(words(normalisation.ENGLISH))
def test_the_texts_of_the_tokens_make_the_text(pieces, text):
  for texts in (
    ENGLISH,
    sentence_pieces.SentencePieceVocabulary(pieces.read_bytes()),
  ):
    assert len(texts.pieces) == texts.size
    assert texts.pieces[vocabularies.BLANK] == ''
    joined = ''.join(texts.pieces[token] for token in texts.encode(text))
    assert joined.split() == text.split()


def model_of(lines, **options):
  """A SentencePiece model of text that is used as it is."""
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.Train(
    sentence_iterator=iter(lines * 5),
    model_writer=model,
    hard_vocab_limit=False,
    minloglevel=2,
    **options,
  )
  return sentence_pieces.SentencePieceVocabulary(model.getvalue())


LINES = ['call me ishmael', 'some years ago', 'never mind how long']


def test_pieces_without_text_are_as_they_are_decoded():
  texts = model_of(LINES, vocab_size=285, byte_fallback=True)
  unknown, start, end = texts.pieces[1:4]
  assert (unknown.strip(), start, end) == ('\N{DOUBLE QUESTION MARK}', '', '')
  first_byte = 4
  assert texts.pieces[first_byte + ord('A')] == 'A'
  assert any(piece.startswith(' ') for piece in texts.pieces[4 + 256 :])


KINDS = {
  'bytes': {'vocab_size': 285, 'byte_fallback': True},
  'pairs': {'vocab_size': 40, 'model_type': 'bpe'},
  'characters': {'vocab_size': 20, 'model_type': 'char'},
  'words': {'vocab_size': 12, 'model_type': 'word'},
  'suffix': {'vocab_size': 40, 'treat_whitespace_as_suffix': True},
  'bare': {
    'vocab_size': 40,
    'add_dummy_prefix': False,
    'normalization_rule_name': 'identity',
  },
  'symbols': {
    'vocab_size': 40,
    'user_defined_symbols': ['<noise>', '▁laughs'],
    'control_symbols': ['<en>'],
  },
}


@pytest.fixture(scope='module', params=list(KINDS))
def any_pieces(request):
  return model_of(LINES, **KINDS[request.param])


@given(st.data())
def test_all_who_write_tokens_write_the_same(any_pieces, data):
  """Evaluation asks the vocabulary; a graph has the pieces alone."""
  tokens = data.draw(st.lists(st.integers(0, any_pieces.size - 1), max_size=9))
  joined = ''.join(any_pieces.pieces[token] for token in tokens)
  assert any_pieces.decode(tokens) == ' '.join(joined.split())
  # The graph knows white space of ASCII alone.
  assert not any(c.isspace() and c != ' ' for c in joined)
  text = data.draw(st.text('acehilmnorsvy ☕你%5', max_size=9))
  try:
    encoded = any_pieces.encode(text)
  except vocabularies.OutOfVocabularyError:
    return
  assert any_pieces.decode(encoded) == text


def test_what_only_bytes_could_write_is_refused():
  texts = model_of(LINES, **KINDS['bytes'])
  assert texts.decode(texts.encode('call me')) == 'call me'
  for text in 'call 你', 'call me 5%', 'call &amp', '[call] me', 'call\x00':
    with pytest.raises(vocabularies.OutOfVocabularyError, match='characters'):
      texts.encode(text)


@pytest.mark.parametrize('parting', [' ', ''])
def test_long_lines_are_used_to_their_end(tmp_path, parting):
  """SentencePiece leaves lines of more than 4,192 bytes out without a word."""
  letters = normalisation.FRENCH.replace(' ', '').replace('-', '')
  long = parting.join('abc' for _ in range(3_000)) + ' ' + letters
  (tmp_path / 'long.txt').write_text(long, encoding='utf-8')
  output = tmp_path / 'long.model'
  size = len(letters) + 4
  assert (
    sentence_pieces.train(
      [tmp_path / 'long.txt'], size, normalisation.FRENCH, output
    )
    == 1
  )
  texts = sentence_pieces.SentencePieceVocabulary(output.read_bytes())
  assert any('ab' in piece for piece in texts.pieces)
