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
from tff_asr.corpora import client_store, queries

# A batch; every length travels beside what it measures.
BATCH_SPEC = collections.OrderedDict(
  features=tf.TensorSpec([None, None, features.MEL_BANDS], tf.float32),
  frames=tf.TensorSpec([None], tf.int32),
  tokens=tf.TensorSpec([None, None], tf.int32),
  token_lengths=tf.TensorSpec([None], tf.int32),
)
# Of a client in a round; the seed decides what training leaves to chance.
CLIENT_BATCH_SPEC = collections.OrderedDict(
  BATCH_SPEC, seed=tf.TensorSpec([2], tf.int32)
)
# Of a batch to transcribe.
TRANSCRIPTION_SPEC = collections.OrderedDict(
  BATCH_SPEC,
  client_id=tf.TensorSpec([None], tf.string),
  utterance_id=tf.TensorSpec([None], tf.string),
  text=tf.TensorSpec([None], tf.string),
)

_FRAMES_PER_SECOND = features.SAMPLE_RATE // features.HOP
# Between a client's name and the number of a round.
_ROUND = '@'


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
  def limits(self) -> list[queries.Limit]:
    """What is drawn of a client: no more than the steps can hold."""
    limits = []
    if self.max_seconds is not None:
      limits.append(queries.Limit(self.max_seconds))
    if self.steps is not None:  # A longer utterance is a batch, too.
      limits.append(queries.Limit(self.steps * self.seconds, self.seconds))
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
  records: dict[str, tf.Tensor], config: BatchConfig, seed: tf.Tensor
) -> tf.data.Dataset:
  """Batches of one client's records, in a new order every epoch.

  Neighbours in the store are of similar length and share a batch, so that
  little is padded; whole batches are shuffled. They are padded to one of few
  lengths: for each new shape, libraries of kernels keep code in memory.

  Args:
    records: string `[records]` each, shortest first, named as in
      `store.RECORD_SPECS`.
    config: Size and number of the batches.
    seed: int32 `[2]`; decides their order, and each has one that follows.

  Returns:
    Elements as in `CLIENT_BATCH_SPEC`.
  """
  frames = _frames(records)
  padded_frames = _padded_lengths(frames)
  starts = _starts(padded_frames, config.seconds)
  ends = tf.concat([starts, [tf.size(frames)]], 0)[1:]
  # Outside of the function of the dataset, which is made for each client.
  log_mel = _log_mel(records, frames)
  ends_of_records = tf.concat([[0], tf.cumsum(frames)], 0)

  def batch(number, batch_seed):
    start, end = starts[number], ends[number]
    rows = log_mel[ends_of_records[start] : ends_of_records[end]]
    ragged = tf.RaggedTensor.from_row_lengths(
      rows, frames[start:end], validate=False
    )
    longest = tf.reduce_max(padded_frames[start:end])
    elements = _batch(
      ragged.to_tensor(shape=tf.stack([-1, longest, features.MEL_BANDS])),
      frames[start:end],
      records['tokens'][start:end],
    )
    return collections.OrderedDict(elements, seed=batch_seed)

  order = _order(tf.size(starts), config, seed)
  seeds = tf.random.stateless_uniform(
    [tf.size(order), 2], seed + 1, 0, tf.int32.max, tf.int32, alg='philox'
  )
  return (
    tf.data.Dataset.from_tensor_slices((order, seeds))
    .map(batch)
    .with_options(_small_dataset())
  )


def _order(
  batches: tf.Tensor, config: BatchConfig, seed: tf.Tensor
) -> tf.Tensor:
  """Numbers of the batches in their order, a new one every epoch: int32."""
  epochs = config.epochs
  if epochs is None:
    epochs = -(-config.steps // tf.maximum(batches, 1))
  chance = tf.random.stateless_uniform([epochs, batches], seed, alg='philox')
  order = tf.reshape(tf.argsort(chance, axis=1), [-1])
  return order[: config.steps]


def _small_dataset() -> tf.data.Options:
  """Without what takes longer than it saves on the data of one client."""
  options = tf.data.Options()
  options.autotune.enabled = False
  options.experimental_optimization.apply_default_optimizations = False
  return options


def _padded_lengths(lengths: tf.Tensor) -> tf.Tensor:
  """Lengths of which there are few, longer by less than an eighth.

  Args:
    lengths: int32 `[n]`, positive.

  Returns:
    int32 `[n]`; eight values between a power of two and the next.
  """
  octave = tf.math.log(tf.cast(lengths, tf.float64) + 0.5) / math.log(2)
  step = tf.bitwise.left_shift(1, tf.maximum(tf.cast(octave, tf.int32) - 3, 0))
  return -(-lengths // step) * step


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


@dataclasses.dataclass(frozen=True)
class RoundNames:
  """Names of the clients of a round, as a `dataset_computation` takes them.

  Attributes:
    insecure_seed: As in `dataset_computation`. Without it the name of a client
      is the same in all rounds.
  """

  insecure_seed: int | None

  def in_round(self, client_ids: Sequence[str], round_number: int) -> list[str]:
    """Returns the names of some clients in a round."""
    if self.insecure_seed is None:
      return list(client_ids)
    return [f'{c}{_ROUND}{round_number}' for c in client_ids]

  def client_of(self, name: str) -> str:
    """Returns the client that has a name in some round."""
    if self.insecure_seed is None:
      return name
    return name.rpartition(_ROUND)[0]


def dataset_computation(
  store: client_store.ClientStore,
  config: BatchConfig,
  insecure_seed: int | None = None,
  portable: bool = True,
) -> tff.Computation:
  """Returns the TFF computation from a client's name to its batches.

  No client is read before it is asked for, unlike in `tff.simulation`'s
  `ClientData`, which reads the first to learn the type of all.

  Args:
    store: The clients.
    config: See `client_batches`.
    insecure_seed: For batches that repeat: with it the computation takes the
      names of `RoundNames`, and the same name has the same batches.
    portable: As in `ClientStore.all_records`.
  """

  def of_client(name):
    if insecure_seed is None:
      records = store.all_records(name, config.limits, portable=portable)
      seed = tf.random.uniform([2], 0, tf.int32.max, tf.int32)
      return client_batches(records, config, seed)
    seed = tf.stack(
      [
        tf.strings.to_hash_bucket_strong(name, tf.int32.max, [insecure_seed, i])
        for i in range(2)
      ]
    )
    seed = tf.cast(seed, tf.int32)
    client_id = tf.strings.regex_replace(name, f'{_ROUND}[0-9]+$', '')
    records = store.all_records(client_id, config.limits, seed, portable)
    return client_batches(records, config, seed)

  return compat.tf_computation(of_client, np.str_)


def pooled_examples(
  store: client_store.ClientStore, client_ids: Sequence[str]
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
