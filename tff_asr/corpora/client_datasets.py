"""Datasets of batches, from the records of a client store.

Built of plain TensorFlow operations from a client's name, so that TFF can make
them where the client is trained.
"""

import collections
from collections.abc import Sequence
import dataclasses
import math

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import errors
from tff_asr.audio import features
from tff_asr.corpora import store as store_lib

# A batch; every length travels beside what it measures.
BATCH_SPEC = collections.OrderedDict(
  features=tf.TensorSpec([None, None, features.MEL_BANDS], tf.float32),
  frames=tf.TensorSpec([None], tf.int32),
  tokens=tf.TensorSpec([None, None], tf.int32),
  token_lengths=tf.TensorSpec([None], tf.int32),
)
# Of a batch to transcribe.
TRANSCRIPTION_SPEC = collections.OrderedDict(
  BATCH_SPEC,
  client_id=tf.TensorSpec([None], tf.string),
  utterance_id=tf.TensorSpec([None], tf.string),
  text=tf.TensorSpec([None], tf.string),
)

_FRAMES_PER_SECOND = features.SAMPLE_RATE // features.HOP
# More than ever are there; shuffling takes 24 bytes for each at once.
_MOST_BATCHES = 100_000
_ALL = 1_000_000


@dataclasses.dataclass(frozen=True)
class BatchConfig:
  """How a client's utterances are batched and repeated.

  Attributes:
    seconds: Audio in a batch, padding included; a longer utterance is a batch
      of its own.
    epochs: Passes over the client's data; not with `steps`.
    steps: Number of batches, for which the data is repeated as needed; not with
      `epochs`.
    max_seconds: What is used of a client with more audio, or `None` for all. It
      is held in memory, as features, while the client is trained.

  Raises:
    UserError: If a number is not positive, or not one of `epochs` and `steps`
      is given.
  """

  seconds: float
  epochs: int | None = None
  steps: int | None = None
  max_seconds: float | None = None

  def __post_init__(self):
    errors.require_positive(client_batch_seconds=self.seconds)
    if self.max_seconds is not None:
      errors.require_positive(client_max_seconds=self.max_seconds)
    if (self.epochs is None) == (self.steps is None):
      raise errors.UserError(
        'Clients train for a number of epochs or of steps: give one of'
        ' --client_epochs and --client_steps.'
      )

  @property
  def limits(self) -> list[store_lib.Limit]:
    """What is drawn of a client: no more than the steps can hold."""
    limits = []
    if self.max_seconds is not None:
      limits.append(store_lib.Limit(self.max_seconds))
    if self.steps is not None:  # A longer utterance is a batch, too.
      limits.append(store_lib.Limit(self.steps * self.seconds, self.seconds))
    return limits


def parse(
  record: dict[str, tf.Tensor],
) -> collections.OrderedDict[str, tf.Tensor]:
  """Turns one record of a store into one example: a batch without its axis."""
  if 'features' in record:
    log_mel = tf.reshape(
      tf.io.decode_raw(record['features'], tf.float32), [-1, features.MEL_BANDS]
    )
  else:
    pcm = tf.io.decode_raw(record['audio'], tf.int16)
    log_mel = features.log_mel(features.waveform_of(pcm))
  tokens = tf.io.decode_raw(record['tokens'], tf.int32)
  return collections.OrderedDict(
    features=log_mel,
    frames=tf.shape(log_mel)[0],
    tokens=tokens,
    token_lengths=tf.shape(tokens)[0],
  )


def client_batches(
  records: tf.data.Dataset, config: BatchConfig
) -> tf.data.Dataset:
  """Batches of one client's records, in a new order every epoch.

  Neighbours in the store are of similar length and share a batch, so that
  little is padded; whole batches are shuffled.

  Args:
    records: Elements as in `store.RECORD_SPECS`, shortest first.
    config: Size and number of the batches.

  Returns:
    Elements as in `BATCH_SPEC`.
  """
  assign = _assign_batch(config.seconds)
  numbered = records.scan(
    (tf.constant(0, tf.int64), 0, 0),
    lambda state, record: assign(state, parse(record)),
  )
  epoch = (
    numbered.group_by_window(
      key_func=lambda number, _: number,
      reduce_func=lambda _, group: group.map(
        lambda _, example: example
      ).padded_batch(_ALL),
      window_size=_ALL,
    )
    .cache()
    .shuffle(_MOST_BATCHES)
    .with_options(_small_dataset())
  )
  if config.steps is None:
    return epoch.repeat(config.epochs)
  return epoch.repeat().take(config.steps)


def _small_dataset() -> tf.data.Options:
  """Without what takes longer than it saves on the data of one client."""
  options = tf.data.Options()
  options.autotune.enabled = False
  options.experimental_optimization.apply_default_optimizations = False
  return options


def _assign_batch(seconds: float):
  """Gives each example the number of its batch: batches fill up in turn."""
  budget = int(seconds * _FRAMES_PER_SECOND)

  def assign(state, example):
    number, count, longest = state
    longest = tf.maximum(longest, example['frames'])
    if count > 0 and (count + 1) * longest > budget:
      number, count, longest = number + 1, 0, example['frames']
    return (number, count + 1, longest), (number, example)

  return assign


def federated_batches(
  store: store_lib.ClientStore, config: BatchConfig
) -> tff.simulation.datasets.ClientData:
  """The batches of every client, for TFF; see `client_batches`."""
  return store.client_data(config.limits).preprocess(
    lambda records: client_batches(records, config)
  )


def pooled_examples(
  store: store_lib.ClientStore, client_ids: Sequence[str]
) -> tf.data.Dataset:
  """The examples of several clients, one client after the other.

  Returns:
    Elements as in `TRANSCRIPTION_SPEC`, without the axis of the batch.
  """

  def with_names(client_id, record):
    example = parse(record)
    example['client_id'] = client_id
    example['utterance_id'] = record['utterance_id']
    example['text'] = record['text']
    return example

  return (
    tf.data.Dataset.from_tensor_slices(list(client_ids))
    .flat_map(
      lambda client_id: store.records(client_id).map(
        lambda record: (client_id, record)
      )
    )
    .map(with_names, num_parallel_calls=tf.data.AUTOTUNE)
  )


def by_length(examples: tf.data.Dataset, seconds: float) -> tf.data.Dataset:
  """Batches of a stream of examples, each of neighbours in length.

  Args:
    examples: With `frames`, in any order.
    seconds: Audio in a batch, padding included; a longer utterance is a batch
      of its own.
  """
  edges = range(1, math.ceil(seconds) + 1)  # In seconds.
  return examples.bucket_by_sequence_length(
    lambda example: example['frames'],
    bucket_boundaries=[e * _FRAMES_PER_SECOND for e in edges],
    bucket_batch_sizes=[max(1, int(seconds / e)) for e in edges] + [1],
  )
