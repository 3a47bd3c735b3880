"""Character vocabulary: text to tokens and back.

Token 0 is CTC's blank, because the fast CTC kernels need it there.  The other
tokens are the characters of Pelikan et al. (2025, arXiv 2310.00098): the space,
the apostrophe, `a` to `z` and the hyphen, 30 outputs with the blank.
"""

from collections.abc import Iterable, Sequence
import itertools
import string

BLANK = 0
ENGLISH = " '" + string.ascii_lowercase + '-'


class OutOfVocabularyError(ValueError):
  """A text holds characters that the vocabulary does not know."""


def normalise(text: str) -> str:
  """Returns `text` in lower case with single spaces and none at the ends."""
  return ' '.join(text.lower().split())


class CharacterVocabulary:
  """Maps characters to tokens 1, 2, ... and leaves 0 to the blank."""

  def __init__(self, characters: str = ENGLISH):
    """Builds the vocabulary.

    Args:
      characters: The characters in the order of their tokens, each once.

    Raises:
      ValueError: If a character is given twice or none is given.
    """
    if not characters or len(set(characters)) != len(characters):
      raise ValueError(f'Characters must be given once each: {characters!r}.')
    self.characters = characters
    self._tokens = {c: i for i, c in enumerate(characters, start=1)}

  @property
  def size(self) -> int:
    """Number of outputs of a model: the characters and the blank."""
    return len(self.characters) + 1

  def encode(self, text: str) -> list[int]:
    """Returns the tokens of a normalised text.

    Raises:
      OutOfVocabularyError: If a character has no token; names all of them.
    """
    unknown = sorted(set(text) - self._tokens.keys())
    if unknown:
      raise OutOfVocabularyError(
        'characters outside the alphabet: ' + ' '.join(map(repr, unknown))
      )
    return [self._tokens[c] for c in text]

  def decode(self, tokens: Iterable[int]) -> str:
    """Returns the text of `tokens`; blanks are left out."""
    return ''.join(self.characters[t - 1] for t in tokens if t != BLANK)


def ctc_frames(tokens: Sequence[int]) -> int:
  """Least number of output frames on which CTC can emit `tokens`.

  Every token takes a frame, and a blank must part two equal neighbours.
  """
  repeats = sum(a == b for a, b in itertools.pairwise(tokens))
  return len(tokens) + repeats
