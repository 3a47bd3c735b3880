"""Trains a seed model centrally, on speakers whose data may be pooled."""

import collections
from collections.abc import Callable, Sequence
import dataclasses
import math

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import errors, tracing
from tff_asr.audio import tempo
from tff_asr.corpora import batching, client_datasets, client_store
from tff_asr.learning import training_step
from tff_asr.models.encoder import Encoder
from tff_asr.optimizers import lars, schedules

ADAM, LARS = OPTIMIZERS = ('adam', 'lars')

_WARMUP_COSINE = schedules.Schedule(schedules.COSINE, warmup_steps=300)

# Features take 32 kB of memory per second of audio: a longer epoch is not
# cached.
_CACHED_SECONDS = 10 * 3600.0


@dataclasses.dataclass(frozen=True)
class CentralConfig:
  """Optimizer and length of central training.

  The default is Adam with a linear warm-up and a cosine decay to zero.  Pelikan
  et al. (2025, arXiv 2310.00098) use LARS for a fixed number of steps, without
  warm-up.  Their learning rate is constant at first and then decays.

  Attributes:
    batch_seconds: Seconds of audio in a batch, padding included.
    learning_rate: Greatest learning rate.
    epochs: Number of passes over the data, or `None` if `steps` is given.
    steps: Number of batches, or `None` if `epochs` is given.
    optimizer: One of `OPTIMIZERS`.
    schedule: Share of the learning rate at each step.
    gradient_clip: Greatest L2 norm of a gradient.
    max_tempo_change: Greatest change of an utterance's tempo, faster or slower,
      as a fraction.

  Raises:
    UserError: If a number is not positive and finite, or if not exactly one of
      `epochs` and `steps` is given.
  """

  batch_seconds: float
  learning_rate: float
  epochs: int | None = None
  steps: int | None = None
  optimizer: str = ADAM
  schedule: schedules.Schedule = _WARMUP_COSINE
  gradient_clip: float = 1.0
  max_tempo_change: float = 0.1

  def __post_init__(self):
    errors.require_positive(
      'CentralConfig',
      learning_rate=self.learning_rate,
      batch_seconds=self.batch_seconds,
    )
    errors.require(
      bool(self.epochs) != bool(self.steps),
      'Give either `CentralConfig.epochs` or `CentralConfig.steps`, and not'
      ' both.',
    )


class _Rate(tf.keras.optimizers.schedules.LearningRateSchedule):
  """Learning rate of a step; the first step has number 0."""

  def __init__(self, config: CentralConfig, steps: int):
    self._config = config
    self._steps = steps

  def __call__(self, step):
    config = self._config
    return config.learning_rate * config.schedule.share(step, self._steps)


@tracing.unconverted
def batches(
  store: client_store.ClientStore,
  client_ids: Sequence[str],
  config: CentralConfig,
  stride: int,
) -> tf.data.Dataset:
  """Returns one epoch of the pooled utterances of some clients.

  Each epoch shuffles the utterances of all clients and groups them by length.
  TensorFlow's global seed determines all random numbers.

  Args:
    store: Store that contains the clients.
    client_ids: Clients whose utterances are pooled.
    config: Settings of the batches and of the tempo.
    stride: Number of feature frames for each output frame of the encoder.

  Returns:
    Elements as in `batching.BATCH_SPEC`.
  """
  examples = client_datasets.pooled_examples(store, client_ids).map(
    lambda example: collections.OrderedDict(
      (name, example[name]) for name in batching.BATCH_SPEC
    )
  )
  if sum(store.client_seconds[c] for c in client_ids) <= _CACHED_SECONDS:
    examples = examples.cache()
  # The seeds are drawn in order, because the map below runs in parallel.
  seeds = tf.data.Dataset.random(rerandomize_each_iteration=True).batch(2)
  examples = tf.data.Dataset.zip((examples.shuffle(4_000), seeds)).map(
    lambda example, seed: _at_another_tempo(
      example, config.max_tempo_change, stride, seed
    ),
    num_parallel_calls=tf.data.AUTOTUNE,
  )
  return (
    batching.by_length(examples, config.batch_seconds).shuffle(32).prefetch(4)
  )


def _at_another_tempo(example, max_change: float, stride: int, seed):
  """Changes the tempo, but keeps enough frames for CTC to emit the tokens."""
  tokens = example['tokens']
  repeats = tf.math.count_nonzero(tokens[1:] == tokens[:-1], dtype=tf.int32)
  needed = example['token_lengths'] + repeats
  log_mel = tempo.perturb(
    example['features'], max_change, needed * stride, seed
  )
  return {**example, 'features': log_mel, 'frames': tf.shape(log_mel)[0]}


def train(
  encoder: Encoder,
  epoch: tf.data.Dataset,
  config: CentralConfig,
  on_epoch: Callable[[int, int, float], None],
) -> None:
  """Trains the encoder in place.

  Args:
    encoder: Encoder to train.
    epoch: Batches of one epoch; elements as in `batching.BATCH_SPEC`.
    config: Optimizer and length of the training.
    on_epoch: Called after every epoch, and at the end.  Its arguments are the
      number of the epoch, from 1, the number of steps so far, and the mean
      training loss of the epoch in nats.

  Raises:
    UserError: If there is no batch, or the training diverges.
  """
  if config.steps:
    steps = config.steps
  else:  # Counting the batches also fills the cache.
    steps = config.epochs * int(epoch.reduce(0, lambda n, _: n + 1))

  def is_finished(number: int, done: int) -> bool:
    # Tempo and order are random, so epochs differ in their number of batches.
    return done >= steps if config.steps else number >= config.epochs

  mean_loss = tf.keras.metrics.Mean()
  step = training_step.build(
    encoder,
    _optimizer(config, steps, encoder.trainable_variables),
    gradient_clip=config.gradient_clip,
    mean_loss=mean_loss,
  )
  number = done = 0
  while not is_finished(number, done):
    number += 1
    before = done
    for batch in epoch.take(steps - done) if config.steps else epoch:
      step(batch)
      done += 1
    errors.require(done > before, 'The seed speakers have no utterance.')
    loss = float(mean_loss.result())
    errors.require(
      not math.isnan(loss),
      f'Central training diverged: the loss of epoch {number} is not a number.'
      ' Give a lower `CentralConfig.learning_rate`, and another `output_dir`.',
    )
    on_epoch(number, done, loss)
    mean_loss.reset_state()


def _optimizer(
  config: CentralConfig, steps: int, variables: Sequence[tf.Variable]
) -> training_step.Update:
  """Returns the update of the configured optimizer."""
  rate = _Rate(config, steps)
  if config.optimizer == ADAM:
    adam = tf.keras.optimizers.legacy.Adam(rate, beta_2=0.98)
    return lambda gradients: adam.apply_gradients(
      zip(gradients, variables, strict=True)
    )
  optimizer = tff.learning.optimizers.schedule_learning_rate(
    lars.build_lars(config.learning_rate), rate
  )
  held = tf.nest.map_structure(
    lambda value: tf.Variable(value, trainable=False),
    optimizer.initialize([tf.TensorSpec(v.shape, v.dtype) for v in variables]),
  )

  def apply(gradients):
    state, weights = optimizer.next(
      tf.nest.map_structure(tf.convert_to_tensor, held),
      list(map(tf.convert_to_tensor, variables)),
      list(gradients),
    )
    tf.nest.map_structure(
      lambda variable, value: variable.assign(value),
      (held, list(variables)),
      (state, weights),
    )

  return apply
