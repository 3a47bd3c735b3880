"""Batches of utterances: their specs, sizes, padding and order."""

import collections
import dataclasses
import math

import tensorflow as tf

from tff_asr import errors, tracing
from tff_asr.audio import features
from tff_asr.corpora import queries, record_features

# Elements of a batch: padded sequences, and their lengths.
BATCH_SPEC = collections.OrderedDict(
  features=tf.TensorSpec([None, None, features.MEL_BANDS], tf.float32),
  frames=tf.TensorSpec([None], tf.int32),
  tokens=tf.TensorSpec([None, None], tf.int32),
  token_lengths=tf.TensorSpec([None], tf.int32),
)
# Elements of a batch of a client in a round.  The seed decides the random draws
# of a training step, such as dropout.
CLIENT_BATCH_SPEC = collections.OrderedDict(
  BATCH_SPEC, seed=tf.TensorSpec([2], tf.int32)
)
# Elements of a batch to transcribe.
TRANSCRIPTION_SPEC = collections.OrderedDict(
  BATCH_SPEC,
  client_id=tf.TensorSpec([None], tf.string),
  utterance_id=tf.TensorSpec([None], tf.string),
  text=tf.TensorSpec([None], tf.string),
)

_FRAMES_PER_SECOND = features.SAMPLE_RATE // features.HOP


@dataclasses.dataclass(frozen=True)
class BatchConfig:
  """Sizes and number of a client's batches.

  Attributes:
    seconds: Audio in a batch in seconds, padding included; a longer utterance
      is a batch of its own.
    epochs: Passes over the client's data; not with `steps`.
    steps: Number of batches; the data is repeated as needed; not with `epochs`.
    max_seconds: Most audio of a client in seconds, `None` for no limit.  The
      features of this audio are in memory while the client is trained.

  Raises:
    UserError: If a number is not positive, or if both or none of `epochs` and
      `steps` are given.
  """

  seconds: float
  epochs: int | None = None
  steps: int | None = None
  max_seconds: float | None = None

  def __post_init__(self):
    for name in 'seconds', 'max_seconds':
      value = getattr(self, name)
      errors.require(
        value is None or 0.0 < value < math.inf,
        f'`BatchConfig.{name}={value}` must be positive and finite.',
      )
    errors.require(
      (self.epochs is None) != (self.steps is None),
      'Clients train for a number of epochs or of steps: give either'
      ' `BatchConfig.epochs` or `BatchConfig.steps`.',
    )

  @property
  def limits(self) -> list[queries.Limit]:
    """Limits of a client's utterances; the steps hold no more audio."""
    limits = []
    if self.max_seconds is not None:
      limits.append(queries.Limit(self.max_seconds))
    if self.steps is not None:  # A longer utterance is a batch, too.
      limits.append(queries.Limit(self.steps * self.seconds, self.seconds))
    return limits


@tracing.unconverted
def parse(
  records: dict[str, tf.Tensor],
) -> collections.OrderedDict[str, tf.Tensor]:
  """Returns a batch of records.

  Args:
    records: string `[batch]` each, named as in `client_store.RECORD_SPECS`.

  Returns:
    Elements as in `BATCH_SPEC`.
  """
  frames = record_features.num_frames(records)
  log_mel = tf.RaggedTensor.from_row_lengths(
    record_features.log_mel(records), frames, validate=False
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


@tracing.unconverted
def client_batches(
  records: dict[str, tf.Tensor], config: BatchConfig, seed: tf.Tensor
) -> tf.data.Dataset:
  """Returns the batches of one client, in a new order in every epoch.

  Neighbours in the store have similar lengths. They share a batch, so there is
  little padding, and whole batches are shuffled. The padded lengths have few
  different values, because kernel libraries keep code for each shape in memory.

  Args:
    records: string `[records]` each, shortest first, named as in
      `client_store.RECORD_SPECS`.
    config: Size and number of the batches.
    seed: int32 `[2]`; decides the order and the seeds of the batches.

  Returns:
    Elements as in `CLIENT_BATCH_SPEC`.
  """
  frames = record_features.num_frames(records)
  padded_frames = _padded_lengths(frames)
  starts = _starts(padded_frames, config.seconds)
  ends = tf.concat([starts, [tf.size(frames)]], 0)[1:]
  # Outside of the dataset's function, which TensorFlow builds for each client.
  log_mel = record_features.log_mel(records)
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
  """Returns the numbers of the batches in order, int32; each epoch differs."""
  epochs = config.epochs
  if epochs is None:
    epochs = -(-config.steps // tf.maximum(batches, 1))
  keys = tf.random.stateless_uniform([epochs, batches], seed, alg='philox')
  order = tf.reshape(tf.argsort(keys, axis=1), [-1])
  return order[: config.steps]


def _small_dataset() -> tf.data.Options:
  """Returns options that suit the few batches of one client.

  Autotuning and graph optimisation would cost more time than they save.
  """
  options = tf.data.Options()
  options.autotune.enabled = False
  options.experimental_optimization.apply_default_optimizations = False
  return options


def _padded_lengths(lengths: tf.Tensor) -> tf.Tensor:
  """Returns padded lengths with few different values.

  Args:
    lengths: int32 `[n]`, positive.

  Returns:
    int32 `[n]`, longer by less than an eighth; eight values between a power of
    two and the next.
  """
  octave = tf.math.log(tf.cast(lengths, tf.float64) + 0.5) / math.log(2)
  step = tf.bitwise.left_shift(1, tf.maximum(tf.cast(octave, tf.int32) - 3, 0))
  return -(-lengths // step) * step


def _starts(frames: tf.Tensor, seconds: float) -> tf.Tensor:
  """Returns the first record of each batch; batches are filled in turn.

  Args:
    frames: int32 `[records]`, lengths.
    seconds: Audio in a batch in seconds, padding included.

  Returns:
    int32 `[batches]`, numbers of records, beginning with 0.
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
  is_first = tf.not_equal(before, numbers)  # `!=` differs in a tf.Graph.
  return tf.cast(tf.where(is_first)[:, 0], tf.int32)


@tracing.unconverted
def by_length(examples: tf.data.Dataset, seconds: float) -> tf.data.Dataset:
  """Returns batches of examples of similar length.

  Args:
    examples: Examples with `frames`, in any order.
    seconds: Audio in a batch in seconds, padding included; a longer utterance
      is a batch of its own.
  """
  edges = range(1, math.ceil(seconds) + 1)  # In seconds.
  return examples.bucket_by_sequence_length(
    lambda example: example['frames'],
    bucket_boundaries=[e * _FRAMES_PER_SECOND for e in edges],
    bucket_batch_sizes=[max(1, int(seconds / e)) for e in edges] + [1],
  )
