"""Datasets of batches, from the records of a client store.

Built of plain TensorFlow operations from a client's name, so that TFF can make
them where the client is trained.
"""

import collections
from collections.abc import Sequence
import dataclasses
import math

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import compat, errors
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
  records: dict[str, tf.Tensor],
) -> collections.OrderedDict[str, tf.Tensor]:
  """Turns records of a store into a batch.

  Args:
    records: string `[batch]` each, named as in `store.RECORD_SPECS`.

  Returns:
    Elements as in `BATCH_SPEC`.
  """
  frames = _frames(records)
  log_mel = tf.RaggedTensor.from_row_lengths(
    _log_mel(records, frames), frames, validate=False
  )
  return _batch(log_mel.to_tensor(), frames, records['tokens'])


def _batch(log_mel, frames, tokens) -> collections.OrderedDict:
  token_lengths = tf.strings.length(tokens) // tf.int32.size
  return collections.OrderedDict(
    features=log_mel,
    frames=frames,
    tokens=tf.io.decode_raw(
      tokens,
      tf.int32,
      fixed_length=tf.reduce_max(token_lengths) * tf.int32.size,
    ),
    token_lengths=token_lengths,
  )


def _log_mel(records: dict[str, tf.Tensor], frames: tf.Tensor) -> tf.Tensor:
  """Features of records, one behind the other, float32 `[frames, 80]`."""
  if 'features' in records:
    log_mel = tf.io.decode_raw(
      tf.strings.reduce_join(records['features']), tf.float32
    )
    return tf.reshape(log_mel, [-1, features.MEL_BANDS])
  # Every record is filled up to whole hops: all windows lie on one grid.
  hop_bytes = features.HOP * tf.int16.size
  filling = -tf.strings.length(records['audio']) % hop_bytes
  filled = tf.strings.join(
    [
      records['audio'],
      tf.strings.substr(bytes(hop_bytes), tf.zeros_like(filling), filling),
    ]
  )
  starts = tf.cumsum(tf.strings.length(filled) // hop_bytes, exclusive=True)
  pcm = tf.io.decode_raw(tf.strings.reduce_join(filled), tf.int16)
  log_mel = features.log_mel_in_chunks(features.waveform_of(pcm))
  # The others begin in a record and end in the next.
  inside = tf.ragged.range(starts, starts + frames).flat_values
  return tf.gather(log_mel, inside)


def _frames(records: dict[str, tf.Tensor]) -> tf.Tensor:
  """Numbers of feature frames of records."""
  if 'features' in records:
    size = features.MEL_BANDS * tf.float32.size
    return tf.strings.length(records['features']) // size
  return features.num_frames(
    tf.strings.length(records['audio']) // tf.int16.size
  )


def client_batches(
  records: dict[str, tf.Tensor], config: BatchConfig
) -> tf.data.Dataset:
  """Batches of one client's records, in a new order every epoch.

  Neighbours in the store are of similar length and share a batch, so that
  little is padded; whole batches are shuffled.

  Args:
    records: string `[records]` each, shortest first, named as in
      `store.RECORD_SPECS`.
    config: Size and number of the batches.

  Returns:
    Elements as in `BATCH_SPEC`.
  """
  frames = _frames(records)
  starts = _starts(frames, config.seconds)
  ends = tf.concat([starts, [tf.size(frames)]], 0)[1:]
  # Outside of the function of the dataset, which is made for each client.
  log_mel = _log_mel(records, frames)
  ends_of_records = tf.concat([[0], tf.cumsum(frames)], 0)

  def batch(start, end):
    rows = log_mel[ends_of_records[start] : ends_of_records[end]]
    padded = tf.RaggedTensor.from_row_lengths(
      rows, frames[start:end], validate=False
    )
    return _batch(
      padded.to_tensor(), frames[start:end], records['tokens'][start:end]
    )

  epoch = (
    tf.data.Dataset.from_tensor_slices((starts, ends))
    .shuffle(_MOST_BATCHES)
    .map(batch)
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


def _starts(frames: tf.Tensor, seconds: float) -> tf.Tensor:
  """Where batches begin: they fill up in turn.

  Args:
    frames: int32 `[records]`, lengths.
    seconds: Of a batch, padding included.

  Returns:
    int32 `[batches]`, numbers of records, the first of them 0.
  """
  budget = int(seconds * _FRAMES_PER_SECOND)

  def add(state, length):
    number, count, longest = state
    longest = tf.maximum(longest, length)
    is_full = (count > 0) & ((count + 1) * longest > budget)
    return (
      tf.where(is_full, number + 1, number),
      tf.where(is_full, 1, count + 1),
      tf.where(is_full, length, longest),
    )

  numbers, _, _ = tf.scan(add, tf.reshape(frames, [-1]), (0, 0, 0))
  numbers = tf.reshape(numbers, [-1])
  before = tf.concat([[-1], numbers], 0)[:-1]
  is_first = tf.not_equal(before, numbers)  # `!=` is another in a tf.Graph.
  return tf.cast(tf.where(is_first)[:, 0], tf.int32)


def dataset_computation(
  store: store_lib.ClientStore, config: BatchConfig
) -> tff.Computation:
  """Returns the TFF computation from a client's name to its batches.

  No client is read before it is asked for, unlike in `tff.simulation`'s
  `ClientData`, which reads the first to learn the type of all.

  Args:
    store: The clients.
    config: See `client_batches`.
  """
  return compat.tf_computation(
    lambda client_id: client_batches(
      store.all_records(client_id, config.limits), config
    ),
    np.str_,
  )


def pooled_examples(
  store: store_lib.ClientStore, client_ids: Sequence[str]
) -> tf.data.Dataset:
  """The examples of several clients, one client after the other.

  Returns:
    Elements as in `TRANSCRIPTION_SPEC`, without the axis of the batch.
  """

  def with_names(client_id, record):
    batch = parse({name: value[None] for name, value in record.items()})
    example = collections.OrderedDict(
      (name, value[0]) for name, value in batch.items()
    )
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
