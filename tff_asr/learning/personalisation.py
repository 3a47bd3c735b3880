"""What a speaker gains when a model is fine-tuned on their own data.

Each speaker's utterances are put in order of length; the model is tuned on
every second one, as a client does in a federated round, and the others are
transcribed before and after.  `tff.learning` builds such an evaluation for
metrics that are TensorFlow operations; word error rates are of text.
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
  """How a model is tuned on a speaker: SGD, as on the clients of a round.

  Attributes:
    epochs: Passes over the speaker's utterances.
    learning_rate: Of SGD.
    batch_seconds: Audio in a batch, padding included.
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
  """What a speaker's utterances become before and after.

  Attributes:
    client_id: The speaker.
    before: Transcripts by the model as it was.
    after: Of the same utterances, by the tuned model.
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
  """Tunes a model on each speaker in turn; leaves it as it was.

  Args:
    encoder: The model.
    store: The speakers; those with one utterance are left out.
    config: How it is tuned.
    on_speaker: Called after each.
  """
  evaluator = evaluation.Evaluator(encoder, store.vocabulary)
  weights = encoder.get_weights()
  step = training_step.build(encoder, _update(encoder, config))
  comparisons = []
  for client_id in store.client_ids:
    own, others = (_every_second(store, client_id, i) for i in range(2))
    heard = batching.by_length(others, evaluation.BATCH_SECONDS)
    before = evaluator.transcribe(heard)
    if before:
      batches = batching.by_length(own, config.batch_seconds).cache()
      for batch in batches.shuffle(_SHUFFLED).repeat(config.epochs):
        step({name: batch[name] for name in batching.BATCH_SPEC})
      after = evaluator.transcribe(heard)
      encoder.set_weights(weights)
      comparisons.append(Comparison(client_id, before, after))
    on_speaker()
  return comparisons


def _every_second(
  store: client_store.ClientStore, client_id: str, first: int
) -> tf.data.Dataset:
  """Examples of a speaker, from the first or the second shortest one on."""
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
  # Without momentum, nothing of its state changes.
  state = optimizer.initialize(
    [tf.TensorSpec(v.shape, v.dtype) for v in variables]
  )

  def update(gradients):
    _, tuned = optimizer.next(state, [v.value() for v in variables], gradients)
    for variable, weight in zip(variables, tuned, strict=True):
      variable.assign(weight)

  return update
