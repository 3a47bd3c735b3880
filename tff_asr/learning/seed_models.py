"""Loads or trains the seed model, from which the federated rounds start."""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import pathlib

import tensorflow as tf

from tff_asr import errors
from tff_asr.corpora import client_store
from tff_asr.learning import central
from tff_asr.models import finiteness, model_folder
from tff_asr.models.encoder import Encoder

_REMEDY = (
  'no round can start from it. Give a lower `CentralConfig.learning_rate` and'
  ' another `output_dir`; if you have added the kind of encoder, check its'
  ' outputs'
)


@dataclasses.dataclass(frozen=True)
class Loader:
  """Loads encoders for further training.

  Attributes:
    precision: Number format that encoders compute in, one of `precision.NAMES`.
    regularisation: Rates of `dropout` and `layer_drop` in training, in place
      of the rates recorded with the model.
  """

  precision: str
  regularisation: Mapping[str, float]

  def load(
    self, folder: pathlib.Path, store: client_store.ClientStore
  ) -> Encoder:
    """Loads the encoder in a folder.

    Args:
      folder: Folder of a model or of a run.
      store: Data for the further training.

    Raises:
      UserError: If there is no model, or if the store has another vocabulary.
    """
    encoder, vocabulary = model_folder.load(
      folder, self.precision, self.regularisation
    )
    if vocabulary != store.vocabulary:
      raise errors.UserError(
        f'The model in {folder} and the store {store.path} have different'
        ' vocabularies: prepare the store with the vocabulary of the model.'
      )
    return encoder


@dataclasses.dataclass(frozen=True)
class SeedTraining:
  """Settings of the training of a seed model.

  Attributes:
    client_ids: Seed speakers; without any, the model keeps its initial weights.
    config: Optimizer and length of the training.
    seed: Random seed of the initial weights and of the order of the data.
    progress: Context manager around the training.  Its value is the argument
      `on_epoch` of `central.train`.
    before_saving: Called before a trained model is saved; may raise an error.
  """

  client_ids: Sequence[str]
  config: central.CentralConfig
  seed: int
  progress: contextlib.AbstractContextManager[Callable[[int, int, float], None]]
  before_saving: Callable[[], None]


def get(
  folder: pathlib.Path,
  store: client_store.ClientStore,
  loader: Loader,
  build: Callable[[], Encoder],
  training: SeedTraining,
) -> Encoder:
  """Loads the seed model of a run, or trains and saves a new one.

  Args:
    folder: Folder of the seed model.
    store: Store of the seed speakers.
    loader: Loader of a saved seed model.
    build: Returns a new encoder.
    training: Settings of the training of a new encoder.

  Raises:
    UserError: If a model or the seed speakers cannot be used, or the training
      diverges.
  """
  if model_folder.is_complete(folder):
    return loader.load(folder, store)
  tf.keras.utils.set_random_seed(training.seed)
  encoder = build()
  if training.client_ids:
    with training.progress as on_epoch:
      epoch = central.batches(
        store, training.client_ids, training.config, encoder.config.stride
      )
      central.train(encoder, epoch, training.config, on_epoch)
    training.before_saving()
  finiteness.check(encoder, 'The seed model', _REMEDY)
  model_folder.save(folder, encoder, store.vocabulary)
  return encoder
