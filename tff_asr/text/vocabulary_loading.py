"""Loads vocabularies by name, from files and from saved JSON."""

import base64
from collections.abc import Mapping
import pathlib

from tff_asr import errors
from tff_asr.text import sentence_pieces, vocabularies

PIECES_PREFIX = 'spm:'


def check_name(name: str) -> None:
  """Raises a `UserError` if `by_name` does not accept `name`."""
  if name not in vocabularies.ALPHABETS and not name.startswith(PIECES_PREFIX):
    raise errors.UserError(
      f'There is no vocabulary {name!r}: give one of'
      f' {", ".join(vocabularies.ALPHABETS)} (characters), or'
      f' {PIECES_PREFIX}FILE, a SentencePiece model that the vocabulary command'
      ' makes.'
    )


def by_name(name: str, folder: pathlib.Path) -> vocabularies.Vocabulary:
  """Returns the vocabulary with a name.

  Args:
    name: `en`, `fr` or `de` for characters, or `spm:FILE` for the word pieces
      of a SentencePiece model.
    folder: Folder that contains a relative FILE.

  Raises:
    UserError: If no vocabulary has that name, or if the file cannot be read or
      is not a SentencePiece model.
  """
  check_name(name)
  if name in vocabularies.ALPHABETS:
    return vocabularies.CharacterVocabulary(vocabularies.ALPHABETS[name])
  path = folder / name.removeprefix(PIECES_PREFIX)
  try:
    return sentence_pieces.SentencePieceVocabulary(path.read_bytes())
  except OSError as error:
    raise errors.UserError(
      f'The vocabulary {path} cannot be read: {error.strerror}.'
    ) from error
  except ValueError as error:
    raise errors.UserError(f'{path} is {error}.') from error


def from_json(content: Mapping[str, str]) -> vocabularies.Vocabulary:
  """Returns the vocabulary that `Vocabulary.to_json` described.

  Raises:
    ValueError: If `content` does not describe a vocabulary.
  """
  try:
    if content['type'] == 'characters':
      return vocabularies.CharacterVocabulary(content['alphabet'])
    if content['type'] == 'sentencepiece':
      model = base64.b64decode(content['model'])
      return sentence_pieces.SentencePieceVocabulary(model)
  except (KeyError, TypeError) as error:
    raise ValueError('not a vocabulary') from error
  raise ValueError(f'a vocabulary of type {content["type"]!r}')
