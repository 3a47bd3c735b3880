"""Compares transcripts before and after a model is tuned on each speaker.

A speaker's utterances are sorted by length.  The model is fine-tuned on every
second utterance, as on a client in a federated round.  The other utterances are
transcribed before and after.  The evaluation that `tff.learning` builds accepts
only metrics that are TensorFlow operations; word error rates need text.
"""

from collections.abc import Callable
import dataclasses

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import errors
from tff_asr.corpora import batching, client_datasets, client_store
from tff_asr.learning import evaluation, training_step
from tff_asr.models.encoder import Encoder
from tff_asr.optimizers import gradient_clipping

_SHUFFLED = 64  # Batches.


@dataclasses.dataclass(frozen=True)
class PersonalisationConfig:
  """Settings of fine-tuning by SGD, as on the clients of a round.

  Attributes:
    epochs: Number of passes over the speaker's utterances.
    learning_rate: Learning rate of SGD.
    batch_seconds: Seconds of audio in a batch, padding included.
    gradient_clip: Greatest L2 norm of a gradient.

  Raises:
    UserError: If a number is not positive and finite.
  """

  epochs: int
  learning_rate: float
  batch_seconds: float
  gradient_clip: float = 1.0

  def __post_init__(self):
    errors.require_positive(
      'PersonalisationConfig',
      epochs=self.epochs,
      learning_rate=self.learning_rate,
      batch_seconds=self.batch_seconds,
    )


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Transcripts of a speaker's utterances before and after fine-tuning.

  Attributes:
    client_id: Name of the speaker.
    before: Transcripts by the original model.
    after: Transcripts of the same utterances by the tuned model.
  """

  client_id: str
  before: list[evaluation.Transcript]
  after: list[evaluation.Transcript]


def compare(
  encoder: Encoder,
  store: client_store.ClientStore,
  config: PersonalisationConfig,
  on_speaker: Callable[[], None] = lambda: None,
) -> list[Comparison]:
  """Tunes a model on each speaker in turn, and restores its weights.

  Args:
    encoder: Model to tune.
    store: Store of the speakers; a speaker with one utterance is left out.
    config: Settings of the fine-tuning.
    on_speaker: Called after each speaker.
  """
  evaluator = evaluation.Evaluator(encoder, store.vocabulary)
  weights = encoder.get_weights()
  step = training_step.build(encoder, _update(encoder, config))
  comparisons = []
  for client_id in store.client_ids:
    own, others = (_every_second(store, client_id, i) for i in range(2))
    held_out = batching.by_length(others, evaluation.BATCH_SECONDS)
    before = evaluator.transcribe(held_out)
    if before:
      batches = batching.by_length(own, config.batch_seconds).cache()
      for batch in batches.shuffle(_SHUFFLED).repeat(config.epochs):
        step({name: batch[name] for name in batching.BATCH_SPEC})
      after = evaluator.transcribe(held_out)
      encoder.set_weights(weights)
      comparisons.append(Comparison(client_id, before, after))
    on_speaker()
  return comparisons


def _every_second(
  store: client_store.ClientStore, client_id: str, first: int
) -> tf.data.Dataset:
  """Returns every second example of a speaker; `first` is 0 or 1."""
  examples = client_datasets.pooled_examples(store, [client_id])
  return examples.shard(2, first)


def _update(
  encoder: Encoder, config: PersonalisationConfig
) -> training_step.Update:
  optimizer = gradient_clipping.build_gradient_clipping(
    tff.learning.optimizers.build_sgdm(config.learning_rate),
    config.gradient_clip,
  )
  variables = encoder.trainable_variables
  # SGD without momentum never changes its optimizer state.
  state = optimizer.initialize(
    [tf.TensorSpec(v.shape, v.dtype) for v in variables]
  )

  def update(gradients):
    _, tuned = optimizer.next(state, [v.value() for v in variables], gradients)
    for variable, weight in zip(variables, tuned, strict=True):
      variable.assign(weight)

  return update
