"""A trained encoder on disk: `model.json` and `model.weights.h5`."""

import json
import pathlib

from tff_asr import errors
from tff_asr.models import transformer
from tff_asr.text import vocabulary

_CONFIG = 'model.json'
_WEIGHTS = 'model.weights.h5'
_VERSION = 1


def save(
  folder: pathlib.Path,
  encoder: transformer.Transformer,
  characters: vocabulary.CharacterVocabulary,
) -> None:
  """Writes an encoder and its alphabet into `folder`, which is made if needed.

  Each file is written aside and renamed, so that a reader finds the old model
  or the new one.
  """
  folder.mkdir(parents=True, exist_ok=True)
  config = dict(
    version=_VERSION,
    characters=characters.characters,
    encoder=encoder.get_config(),
  )
  weights_aside = folder / f'partial.{_WEIGHTS}'
  encoder.save_weights(weights_aside)
  config_aside = folder / f'partial.{_CONFIG}'
  config_aside.write_text(json.dumps(config, indent=2) + '\n')
  weights_aside.replace(folder / _WEIGHTS)
  config_aside.replace(folder / _CONFIG)


def is_complete(folder: pathlib.Path) -> bool:
  """Whether `save` has finished there."""
  return (folder / _CONFIG).exists()  # It is written last.


def load(
  folder: pathlib.Path,
) -> tuple[transformer.Transformer, vocabulary.CharacterVocabulary]:
  """Returns the encoder in `folder`, or in its sub-folder `model`.

  Raises:
    UserError: If there is none, or it is damaged or of another version.
  """
  if not is_complete(folder) and is_complete(folder / 'model'):
    folder = folder / 'model'
  try:
    config = json.loads((folder / _CONFIG).read_text())
  except (OSError, ValueError) as error:
    raise errors.UserError(
      f'There is no model in {folder} (no valid {_CONFIG}): give the output'
      ' folder of a finished run, or its sub-folder `model`.'
    ) from error
  if config.get('version') != _VERSION:
    raise errors.UserError(
      f'{folder} holds a model of version {config.get("version")}, this release'
      f' reads version {_VERSION}: train it again.'
    )
  try:
    encoder = transformer.build(transformer.config_from(config['encoder']))
    encoder.load_weights(folder / _WEIGHTS)
    return encoder, vocabulary.CharacterVocabulary(config['characters'])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'The model in {folder} cannot be read: {error}'
    ) from error
