"""Vocabularies by name, from files and from what was saved of them."""

import base64
from collections.abc import Mapping
import pathlib

from tff_asr import errors
from tff_asr.text import sentence_pieces, vocabulary

PIECES_PREFIX = 'spm:'


def check_name(name: str) -> None:
  """Raises a `UserError` if `name` is none that `by_name` takes."""
  if name not in vocabulary.ALPHABETS and not name.startswith(PIECES_PREFIX):
    raise errors.UserError(
      f'There is no vocabulary {name!r}: give one of'
      f' {", ".join(vocabulary.ALPHABETS)} (characters), or'
      f' {PIECES_PREFIX}FILE, a SentencePiece model made by'
      ' //pipelines:vocabulary.'
    )


def by_name(name: str, folder: pathlib.Path) -> vocabulary.Vocabulary:
  """Returns a vocabulary.

  Args:
    name: `en`, `fr` or `de` for characters, or `spm:FILE`.
    folder: Where a relative FILE starts.

  Raises:
    UserError: If there is none of that name, or the file cannot be read.
  """
  check_name(name)
  if name in vocabulary.ALPHABETS:
    return vocabulary.CharacterVocabulary(vocabulary.ALPHABETS[name])
  path = folder / name.removeprefix(PIECES_PREFIX)
  try:
    return sentence_pieces.SentencePieceVocabulary(path.read_bytes())
  except OSError as error:
    raise errors.UserError(
      f'The vocabulary {path} cannot be read: {error.strerror}.'
    ) from error
  except ValueError as error:
    raise errors.UserError(f'{path} is {error}.') from error


def from_json(content: Mapping[str, str]) -> vocabulary.Vocabulary:
  """The inverse of `Vocabulary.to_json`.

  Raises:
    ValueError: If `content` is of another make.
  """
  try:
    if content['type'] == 'characters':
      return vocabulary.CharacterVocabulary(content['alphabet'])
    if content['type'] == 'sentencepiece':
      model = base64.b64decode(content['model'])
      return sentence_pieces.SentencePieceVocabulary(model)
  except (KeyError, TypeError) as error:
    raise ValueError('not a vocabulary') from error
  raise ValueError(f'a vocabulary of type {content["type"]!r}')
