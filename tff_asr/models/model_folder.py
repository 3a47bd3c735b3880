"""A trained encoder on disk, with its vocabulary.

`model.json` (the kind of the encoder and its settings), `vocabulary.json` and
`model.weights.h5` in one folder, with their check sums.
"""

from collections.abc import Mapping
import hashlib
import json
import pathlib

from keras.src.saving import saving_lib

from tff_asr import checksums, errors, text_files
from tff_asr.models import kinds, precision, transformer
from tff_asr.models.encoder import Encoder, EncoderConfig
from tff_asr.text import vocabularies
from tff_asr.text import vocabulary as vocabulary_lib

_CONFIG = 'model.json'
_WEIGHTS = 'model.weights.h5'
_VOCABULARY = 'vocabulary.json'
_VERSION = 2
# Earlier releases had one kind and did not record it.
_KIND_BEFORE = transformer.TransformerConfig.kind


def save(
  folder: pathlib.Path,
  encoder: Encoder,
  vocabulary: vocabulary_lib.Vocabulary,
) -> None:
  """Writes an encoder and its vocabulary into `folder`, made if needed.

  Each file is written aside and renamed, so that a reader finds the old one or
  the new one.
  """
  folder.mkdir(parents=True, exist_ok=True)
  # The configuration is the last: with it the model is complete.
  paths = [folder / name for name in (_WEIGHTS, _VOCABULARY, _CONFIG)]
  contents = dict(
    version=_VERSION,
    kind=encoder.config.kind,
    encoder=encoder.config.to_json(),
  )
  with checksums.replacing(*paths) as (weights, texts, config):
    weights.write_bytes(_weights(encoder))
    texts.write_text(json.dumps(vocabulary.to_json()) + '\n')
    config.write_text(json.dumps(contents, indent=2) + '\n')


class _Memory:
  """Stands for the zip archive into which Keras can save."""

  def writestr(self, name: str, content: bytes) -> None:
    del name
    self.content = content


def _weights(encoder: Encoder) -> bytes:
  """Returns what `save_weights` writes, which HDF5 does in memory.

  On a full disk it fails in many ways, SIGSEGV among them.
  """
  memory = _Memory()
  weights = saving_lib.H5IOStore(_WEIGHTS, archive=memory, mode='w')
  saving_lib._save_state(encoder, weights, None, '', set())
  weights.close()
  return memory.content


def digest(folder: pathlib.Path) -> str:
  """Returns a hash of the weights in a folder: SHA-256, hexadecimal."""
  with open(folder / _WEIGHTS, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def is_complete(folder: pathlib.Path) -> bool:
  """Whether `save` has finished there.

  Raises:
    UserError: If it has, and the configuration was removed.
  """
  return checksums.exists(folder / _CONFIG)


def find(folder: pathlib.Path) -> pathlib.Path:
  """The folder itself, or its sub-folder `model` if the model is there."""
  inner = folder / 'model'
  return inner if is_complete(inner) and not is_complete(folder) else folder


def read_config(folder: pathlib.Path) -> EncoderConfig:
  """Returns the settings of the encoder in `folder`, or in its `model`.

  Args:
    folder: A model's, or a run's.

  Raises:
    UserError: If there is none, or it is of another version or of a kind that
      is not registered.
  """
  folder = find(folder)
  try:
    config = text_files.read_json(folder / _CONFIG)
    version = config['version']
  except errors.UserError:
    raise
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'There is no model in {folder} (no valid {_CONFIG}): give the output'
      ' folder of a finished run, or its sub-folder `model/`.'
    ) from error
  if version != _VERSION:
    raise errors.UserError(
      f'{folder} holds a model of version {version}, this release reads version'
      f' {_VERSION}: train it again.'
    )
  kind = config.get('kind', _KIND_BEFORE)
  if not isinstance(kind, str) or kind not in kinds.KINDS:
    raise errors.UserError(
      f'{folder / _CONFIG} has an encoder of kind {kind!r}, which is not in'
      f' KINDS of tff_asr/models/kinds.py ({", ".join(kinds.KINDS)}): register'
      ' it there, or use the release that wrote the model.'
    )
  try:
    return kinds.KINDS[kind].from_json(config['encoder'])
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'The model in {folder} cannot be read: {error}'
    ) from error


def load(
  folder: pathlib.Path,
  precision_name: str = precision.FLOAT32,
  regularisation: Mapping[str, float] | None = None,
) -> tuple[Encoder, vocabulary_lib.Vocabulary]:
  """Returns the encoder in `folder`, or in its sub-folder `model/`.

  Args:
    folder: A model's, or a run's.
    precision_name: What the encoder computes in, one of `precision.NAMES`.
    regularisation: Rates of `dropout` and `layer_drop` for further training,
      in place of the recorded rates. They change no weight.

  Raises:
    UserError: If there is none, if it is damaged, or as in `read_config`, or
      if its encoder has no such rate.
  """
  folder = find(folder)
  config = read_config(folder).with_regularisation(regularisation or {})
  try:
    encoder = config.build(precision_name)
    checksums.check(folder / _WEIGHTS)
    encoder.load_weights(folder / _WEIGHTS)
    vocabulary = text_files.read_json(folder / _VOCABULARY)
    return encoder, vocabularies.from_json(vocabulary)
  except errors.UserError:
    raise
  except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
    raise errors.UserError(
      f'The model in {folder} cannot be read: {error}'
    ) from error
