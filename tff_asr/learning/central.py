"""Central training, for a seed model from speakers whose data may be pooled."""

import collections
from collections.abc import Callable, Sequence
import dataclasses
import math

import tensorflow as tf

from tff_asr import errors
from tff_asr.audio import tempo
from tff_asr.corpora import client_datasets
from tff_asr.corpora import store as store_lib
from tff_asr.learning import speech_model
from tff_asr.models import transformer

# Features take 32 kB a second; up to this much audio they are kept in memory.
_CACHED_SECONDS = 10 * 3600.0


@dataclasses.dataclass(frozen=True)
class CentralConfig:
  """Adam with a linear warm-up and a cosine decay to zero.

  Attributes:
    epochs: Passes over the data.
    batch_seconds: Audio in a batch, padding included.
    learning_rate: At the end of the warm-up.
    warmup_steps: Steps of the warm-up.
    gradient_clip: Greatest L2 norm of a gradient.
    max_tempo_change: Utterances are spoken faster or slower by up to this, as
      a fraction.
  """

  epochs: int
  batch_seconds: float
  learning_rate: float
  warmup_steps: int = 300
  gradient_clip: float = 1.0
  max_tempo_change: float = 0.1

  def __post_init__(self):
    errors.require_positive(
      seed_learning_rate=self.learning_rate,
      seed_batch_seconds=self.batch_seconds,
    )


class _WarmupCosine(tf.keras.optimizers.schedules.LearningRateSchedule):
  """Linear from 0 to the peak, then half a cosine down to 0."""

  def __init__(self, peak: float, warmup_steps: int, steps: int):
    self._peak = peak
    self._warmup_steps = float(warmup_steps)
    self._steps = float(steps)

  def __call__(self, step):
    step = tf.cast(step, tf.float32)
    warmup = tf.minimum((step + 1.0) / self._warmup_steps, 1.0)
    done = tf.minimum(step / self._steps, 1.0)
    return self._peak * warmup * 0.5 * (1.0 + tf.cos(math.pi * done))


def batches(
  store: store_lib.ClientStore,
  client_ids: Sequence[str],
  config: CentralConfig,
) -> tf.data.Dataset:
  """One epoch of the pooled utterances of some clients.

  Utterances of all clients are mixed anew each epoch and grouped by length.

  Returns:
    Elements as in `client_datasets.BATCH_SPEC`.
  """
  examples = client_datasets.pooled_examples(store, client_ids).map(
    lambda example: collections.OrderedDict(
      (name, example[name]) for name in client_datasets.BATCH_SPEC
    )
  )
  if store.seconds <= _CACHED_SECONDS:
    examples = examples.cache()
  examples = examples.shuffle(4_000).map(
    lambda example: _at_another_tempo(example, config.max_tempo_change),
    num_parallel_calls=tf.data.AUTOTUNE,
  )
  return (
    client_datasets.by_length(examples, config.batch_seconds)
    .shuffle(32)
    .prefetch(4)
  )


def _at_another_tempo(example, max_change: float):
  """Changes the tempo, but not so that CTC could not emit the tokens."""
  tokens = example['tokens']
  repeats = tf.math.count_nonzero(tokens[1:] == tokens[:-1], dtype=tf.int32)
  needed = example['token_lengths'] + repeats
  log_mel = tempo.perturb(
    example['features'], max_change, needed * transformer.STRIDE
  )
  return {**example, 'features': log_mel, 'frames': tf.shape(log_mel)[0]}


def train(
  encoder: transformer.Transformer,
  epoch: tf.data.Dataset,
  config: CentralConfig,
  on_epoch: Callable[[int, float], None],
) -> None:
  """Trains the encoder in place.

  Args:
    encoder: What is trained.
    epoch: Batches of one epoch, elements as in `client_datasets.BATCH_SPEC`.
    config: Optimizer and length.
    on_epoch: Called after every epoch with its number, from 1, and its mean
      training loss in nats.
  """
  # Counting the batches also fills the cache.
  steps_per_epoch = int(epoch.reduce(0, lambda n, _: n + 1))
  optimizer = tf.keras.optimizers.legacy.Adam(
    _WarmupCosine(
      config.learning_rate,
      config.warmup_steps,
      config.epochs * steps_per_epoch,
    ),
    beta_2=0.98,
  )
  mean_loss = tf.keras.metrics.Mean()

  @tf.function(input_signature=[client_datasets.BATCH_SPEC])
  def step(batch):
    with tf.GradientTape() as tape:
      loss = speech_model.batch_loss(encoder, batch, training=True)
    variables = encoder.trainable_variables
    gradients, _ = tf.clip_by_global_norm(
      tape.gradient(loss, variables), config.gradient_clip
    )
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    mean_loss.update_state(loss)

  for number in range(1, config.epochs + 1):
    for batch in epoch:
      step(batch)
    on_epoch(number, float(mean_loss.result()))
    mean_loss.reset_state()
