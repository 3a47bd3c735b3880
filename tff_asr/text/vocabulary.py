"""Vocabularies: text to tokens and back.

Token 0 is CTC's blank, because the fast CTC kernels need it there.
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
  """A text that the vocabulary cannot write."""


class Vocabulary(abc.ABC):
  """Maps texts to tokens 1, 2, ... and leaves 0 to the blank.

  Attributes:
    alphabet: The characters that texts may have.
  """

  alphabet: str

  @property
  @abc.abstractmethod
  def size(self) -> int:
    """Number of outputs of a model: the tokens and the blank."""

  @abc.abstractmethod
  def encode(self, text: str) -> list[int]:
    """Returns the tokens of a clean text.

    Raises:
      OutOfVocabularyError: If decoding them would not give the text again.
    """

  @abc.abstractmethod
  def decode(self, tokens: Iterable[int]) -> str:
    """Returns the text of `tokens`; blanks are left out."""

  @property
  @abc.abstractmethod
  def pieces(self) -> tuple[str, ...]:
    """Text of each token, with `' '` where words part; `''` for the blank.

    Tokens without text of their own have `''` as well.
    """

  @abc.abstractmethod
  def to_json(self) -> dict[str, str]:
    """What `vocabularies.from_json` makes this vocabulary of."""

  def __eq__(self, other: object) -> bool:
    return isinstance(other, Vocabulary) and self.to_json() == other.to_json()

  def __hash__(self) -> int:
    return hash(tuple(self.to_json().items()))


class CharacterVocabulary(Vocabulary):
  """One token for each character.

  As in Pelikan et al. (2025, arXiv 2310.00098) a text has one space on each
  side, and English has 30 outputs: blank, space, apostrophe, a to z, hyphen.
  """

  def __init__(self, alphabet: str = normalisation.ENGLISH):
    """Builds the vocabulary.

    Args:
      alphabet: The characters in the order of their tokens, each once, the
        space among them.

    Raises:
      ValueError: If a character is given twice or there is no space.
    """
    if ' ' not in alphabet or len(set(alphabet)) != len(alphabet):
      raise ValueError(
        f'Characters must be given once each, with the space: {alphabet!r}.'
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
  """Returns a message that names what an alphabet cannot write, or `''`."""
  unknown = sorted(set(text) - set(alphabet))
  if not unknown:
    return ''
  return 'characters outside the alphabet: ' + ' '.join(map(repr, unknown))


def ctc_frames(tokens: Sequence[int]) -> int:
  """Least number of output frames on which CTC can emit `tokens`.

  Every token takes a frame, and a blank must part two equal neighbours.
  """
  repeats = sum(a == b for a, b in itertools.pairwise(tokens))
  return len(tokens) + repeats
