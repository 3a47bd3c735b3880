import itertools

from hypothesis import given
from hypothesis import strategies as st
import pytest

from tff_asr.text import vocabulary

VOCABULARY = vocabulary.CharacterVocabulary()


def test_english_has_the_papers_thirty_outputs_and_blank_is_zero():
  assert VOCABULARY.size == 30
  assert sorted(VOCABULARY.encode(vocabulary.ENGLISH)) == list(range(1, 30))


@given(st.text(vocabulary.ENGLISH))
def test_decoding_undoes_encoding(text):
  assert VOCABULARY.decode(VOCABULARY.encode(text)) == text


def test_blanks_are_left_out():
  assert VOCABULARY.decode([0, *VOCABULARY.encode('a'), 0, 0]) == 'a'


def test_unknown_characters_are_all_named():
  with pytest.raises(vocabulary.OutOfVocabularyError, match="'1' 'é'"):
    VOCABULARY.encode('né1')


@pytest.mark.parametrize('characters', ['', 'aba'])
def test_a_character_is_given_once(characters):
  with pytest.raises(ValueError, match='once'):
    vocabulary.CharacterVocabulary(characters)


def test_normalise():
  assert vocabulary.normalise('  GO\tHOME \n') == 'go home'


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
  assert vocabulary.ctc_frames(tokens) == shortest
