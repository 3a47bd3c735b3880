"""Construction of vocabularies from names, files and saved JSON."""

import base64
from collections.abc import Mapping
import pathlib

from tff_asr import errors
from tff_asr.text import sentence_pieces, vocabulary

PIECES_PREFIX = 'spm:'


def check_name(name: str) -> None:
  """Raises a `UserError` if `by_name` does not accept `name`."""
  if name not in vocabulary.ALPHABETS and not name.startswith(PIECES_PREFIX):
    raise errors.UserError(
      f'There is no vocabulary {name!r}: give one of'
      f' {", ".join(vocabulary.ALPHABETS)} (characters), or'
      f' {PIECES_PREFIX}FILE, a SentencePiece model that the vocabulary command'
      ' makes.'
    )


def by_name(name: str, folder: pathlib.Path) -> vocabulary.Vocabulary:
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
  """Returns the vocabulary that `Vocabulary.to_json` described.

  Raises:
    ValueError: If `content` does not describe a vocabulary.
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
