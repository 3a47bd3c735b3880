"""Vocabularies: conversion between text and tokens.

Token 0 is CTC's blank, because the fast CTC kernels require this.
"""

import abc
from collections.abc import Iterable, Sequence
import itertools

from tff_asr.text import normalisation

BLANK = 0
ALPHABETS = {
  'en': normalisation.ENGLISH,
  'fr': normalisation.FRENCH,
  'de': normalisation.GERMAN,
}


class OutOfVocabularyError(ValueError):
  """A text cannot be written with the vocabulary."""


class Vocabulary(abc.ABC):
  """A mapping between texts and tokens 1, 2, ...; token 0 is the blank.

  Attributes:
    alphabet: All characters that a text may contain.
  """

  alphabet: str

  @property
  @abc.abstractmethod
  def size(self) -> int:
    """Number of outputs of a model: all tokens and the blank."""

  @abc.abstractmethod
  def encode(self, text: str) -> list[int]:
    """Returns the tokens of a clean text.

    Raises:
      OutOfVocabularyError: If the tokens would not decode to the same text.
    """

  @abc.abstractmethod
  def decode(self, tokens: Iterable[int]) -> str:
    """Returns the text of `tokens`; ignores blanks."""

  @property
  @abc.abstractmethod
  def pieces(self) -> tuple[str, ...]:
    """Text of each token, with `' '` between words; `''` for the blank.

    A token that has no text is `''`, too.
    """

  @abc.abstractmethod
  def to_json(self) -> dict[str, str]:
    """Returns a description for `vocabulary_loading.from_json`."""

  def __eq__(self, other: object) -> bool:
    return isinstance(other, Vocabulary) and self.to_json() == other.to_json()

  def __hash__(self) -> int:
    return hash(tuple(self.to_json().items()))


class CharacterVocabulary(Vocabulary):
  """A vocabulary with one token for each character.

  As in Pelikan et al. (2025, arXiv 2310.00098), the tokens of a text begin and
  end with a space, and English has 30 outputs: blank, space, apostrophe, a to
  z, hyphen.
  """

  def __init__(self, alphabet: str = normalisation.ENGLISH):
    """Builds the vocabulary.

    Args:
      alphabet: All characters in the order of their tokens, each once and
        including the space.

    Raises:
      ValueError: If a character occurs twice or the space is missing.
    """
    if ' ' not in alphabet or len(set(alphabet)) != len(alphabet):
      raise ValueError(
        'The alphabet must have a space and each character once, got'
        f' {alphabet!r}.'
      )
    self.alphabet = alphabet
    self._tokens = {c: i for i, c in enumerate(alphabet, start=1)}

  @property
  def size(self) -> int:
    return len(self.alphabet) + 1

  def encode(self, text: str) -> list[int]:
    unknown = unknown_characters(text, self.alphabet)
    if unknown:
      raise OutOfVocabularyError(unknown)
    return [self._tokens[c] for c in f' {text} ']

  def decode(self, tokens: Iterable[int]) -> str:
    text = ''.join(self.alphabet[t - 1] for t in tokens if t != BLANK)
    return ' '.join(text.split())

  @property
  def pieces(self) -> tuple[str, ...]:
    return ('', *self.alphabet)

  def to_json(self) -> dict[str, str]:
    return {'type': 'characters', 'alphabet': self.alphabet}


def unknown_characters(text: str, alphabet: str) -> str:
  """Returns a message with the characters outside an alphabet, or `''`."""
  unknown = sorted(set(text) - set(alphabet))
  if not unknown:
    return ''
  return 'characters outside the alphabet: ' + ' '.join(map(repr, unknown))


def ctc_frames(tokens: Sequence[int]) -> int:
  """Returns the least number of output frames on which CTC can emit `tokens`.

  Every token needs a frame, and two equal neighbours need a blank between them.
  """
  repeats = sum(a == b for a, b in itertools.pairwise(tokens))
  return len(tokens) + repeats
