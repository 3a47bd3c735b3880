"""Saves and loads a trained encoder with its vocabulary.

A folder contains `model.json` (kind and settings of the encoder),
`vocabulary.json` and `model.weights.h5`, and the check sums of these files.
"""

from collections.abc import Mapping
import hashlib
import json
import pathlib

from keras.src.saving import saving_lib

from tff_asr import checksums, errors, text_files
from tff_asr.models import finiteness, kinds, precision, transformer
from tff_asr.models.encoder import Encoder, EncoderConfig
from tff_asr.text import vocabularies, vocabulary_loading

_CONFIG = 'model.json'
_WEIGHTS = 'model.weights.h5'
_VOCABULARY = 'vocabulary.json'
_VERSION = 2
# A model of an earlier release has this kind, which is not recorded.
_KIND_BEFORE = transformer.TransformerConfig.kind


def save(
  folder: pathlib.Path,
  encoder: Encoder,
  vocabulary: vocabularies.Vocabulary,
) -> None:
  """Writes an encoder and its vocabulary into `folder`; creates it if needed.

  Each file is written under another name and renamed: a reader finds the old
  file or the new file, never a part of one.
  """
  folder.mkdir(parents=True, exist_ok=True)
  # The configuration comes last, because it marks the model as complete.
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
  """Keeps in memory the file that Keras would write into a zip archive."""

  def writestr(self, name: str, content: bytes) -> None:
    del name
    self.content = content


def _weights(encoder: Encoder) -> bytes:
  """Returns the HDF5 file of `save_weights`, which is built in memory.

  On a full disk, HDF5 itself fails in many ways, SIGSEGV among them.
  """
  memory = _Memory()
  weights = saving_lib.H5IOStore(_WEIGHTS, archive=memory, mode='w')
  saving_lib._save_state(encoder, weights, None, '', set())
  weights.close()
  return memory.content


def digest(folder: pathlib.Path) -> str:
  """Returns the hash of the weights in a folder: SHA-256, hexadecimal."""
  with open(folder / _WEIGHTS, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def is_complete(folder: pathlib.Path) -> bool:
  """Returns whether `save` has finished in a folder.

  Raises:
    UserError: If `save` has finished, but the configuration was removed.
  """
  return checksums.exists(folder / _CONFIG)


def find(folder: pathlib.Path) -> pathlib.Path:
  """Returns the folder, or its sub-folder `model/` if that has the model."""
  inner = folder / 'model'
  return inner if is_complete(inner) and not is_complete(folder) else folder


def read_config(folder: pathlib.Path) -> EncoderConfig:
  """Returns the encoder's settings in `folder`, or in its sub-folder `model/`.

  Args:
    folder: Folder of a model or of a run.

  Raises:
    UserError: If the folder has no model, if the model is of another version,
      or if the kind of its encoder is not registered.
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
      f'{folder} has a model of version {version}; this release reads version'
      f' {_VERSION}: train it again.'
    )
  kind = config.get('kind', _KIND_BEFORE)
  if not isinstance(kind, str) or kind not in kinds.KINDS:
    raise errors.UserError(
      f'{folder / _CONFIG} has an encoder of kind {kind!r}, which is not in'
      f' KINDS of tff_asr/models/kinds.py ({", ".join(kinds.KINDS)}): register'
      ' it there, or call models.register_kind before the command, or use the'
      ' release that wrote the model.'
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
) -> tuple[Encoder, vocabularies.Vocabulary]:
  """Returns the encoder in `folder`, or in its sub-folder `model/`.

  Args:
    folder: Folder of a model or of a run.
    precision_name: Number format that the encoder computes in, one of
      `precision.NAMES`.
    regularisation: Rates of `dropout` and `layer_drop` for further training,
      in place of the recorded rates.  The rates change no weight.

  Raises:
    UserError: If `read_config` raises it, if the model is damaged, if its
      weights or outputs are not finite, or if its encoder has no rate of a name
      in `regularisation`.
  """
  folder = find(folder)
  config = read_config(folder).with_regularisation(regularisation or {})
  try:
    encoder = config.build(precision_name)
    checksums.check(folder / _WEIGHTS)
    encoder.load_weights(folder / _WEIGHTS)
    finiteness.check(
      encoder,
      f'The model in {folder}',
      'its training diverged. Use another model, or train one with a lower'
      ' learning rate',
    )
    vocabulary = text_files.read_json(folder / _VOCABULARY)
    return encoder, vocabulary_loading.from_json(vocabulary)
  except errors.UserError:
    raise
  except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
    raise errors.UserError(
      f'The model in {folder} cannot be read: {error}'
    ) from error
