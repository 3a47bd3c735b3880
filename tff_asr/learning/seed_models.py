"""The model with which the federated rounds begin."""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import pathlib

import tensorflow as tf

from tff_asr import errors
from tff_asr.corpora import client_store
from tff_asr.learning import central
from tff_asr.models import model_folder
from tff_asr.models.encoder import Encoder


@dataclasses.dataclass(frozen=True)
class Loader:
  """Loads encoders that are trained further.

  Attributes:
    precision: What they compute in, one of `precision.NAMES`.
    regularisation: Rates of `dropout` and `layer_drop` in training, in place
      of the model's own.
  """

  precision: str
  regularisation: Mapping[str, float]

  def load(
    self, folder: pathlib.Path, store: client_store.ClientStore
  ) -> Encoder:
    """Loads the encoder in a folder.

    Args:
      folder: A model's, or a run's.
      store: The data on which it is to be trained.

    Raises:
      UserError: If there is no model, or its vocabulary is another.
    """
    encoder, vocabulary = model_folder.load(
      folder, self.precision, self.regularisation
    )
    if vocabulary != store.vocabulary:
      raise errors.UserError(
        f'The model in {folder} and the store {store.path} have different'
        ' vocabularies: prepare the store with that of the model.'
      )
    return encoder


@dataclasses.dataclass(frozen=True)
class SeedTraining:
  """How a seed model is trained.

  Attributes:
    client_ids: The seed speakers; without any the model stays as it is built.
    config: Optimizer and length.
    seed: Of the initial weights, and of the order of the data.
    progress: Context of the training; its value is called after every epoch,
      see `central.train`.
    before_saving: Called before a trained model is saved; may raise.
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
  """Loads the seed model of a run, or makes it and saves it.

  Args:
    folder: Holds the seed model, once it is made.
    store: The seed speakers.
    loader: Loads it.
    build: Returns the encoder to be trained.
    training: How it is trained.

  Raises:
    UserError: If a model or the seed speakers cannot be used.
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
  model_folder.save(folder, encoder, store.vocabulary)
  return encoder
