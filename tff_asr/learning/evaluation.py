"""Computes word and character error rates of a model on a store's speakers.

Rates are corpus rates, as jiwer counts them: the number of errors in all
utterances, divided by the number of words (characters) in all references.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import math

import jiwer
import tensorflow as tf

from tff_asr.corpora import batching, client_datasets, client_store, parallel
from tff_asr.learning import speech_model
from tff_asr.models import beam_search, ctc
from tff_asr.models.encoder import Encoder
from tff_asr.text import vocabularies

BATCH_SECONDS = 200.0
_BATCHES_AT_ONCE = 2


@dataclasses.dataclass(frozen=True)
class Transcript:
  """Reference and hypothesis of an utterance.

  Attributes:
    client_id: Name of the speaker.
    utterance_id: Name of the utterance in the corpus.
    reference: Text of the utterance in the corpus.
    hypothesis: Text that the model decodes.
    loss: CTC loss of the reference, in nats; infinite if the encoder's output
      is too short for the reference.
  """

  client_id: str
  utterance_id: str
  reference: str
  hypothesis: str
  loss: float = math.nan

  @property
  def wer(self) -> float:
    """Word error rate of this single utterance."""
    return jiwer.wer(self.reference, self.hypothesis)


@dataclasses.dataclass(frozen=True)
class ErrorRates:
  """Error rates over utterances.

  Attributes:
    utterances: Number of utterances.
    words: Number of words in the references.
    wer: Word error rate; 1.0 is 100 %.
    cer: Character error rate; 1.0 is 100 %.
  """

  utterances: int
  words: int
  wer: float
  cer: float


def error_rates(transcripts: Iterable[Transcript]) -> ErrorRates:
  """Returns the error rates over one or more transcripts."""
  transcripts = list(transcripts)
  references = [t.reference for t in transcripts]
  hypotheses = [t.hypothesis for t in transcripts]
  return ErrorRates(
    len(transcripts),
    sum(len(r.split()) for r in references),
    jiwer.wer(references, hypotheses),
    jiwer.cer(references, hypotheses),
  )


def by_client(transcripts: Iterable[Transcript]) -> dict[str, ErrorRates]:
  """Returns the error rates of each speaker, the highest WER first."""
  groups: dict[str, list[Transcript]] = {}
  for transcript in transcripts:
    groups.setdefault(transcript.client_id, []).append(transcript)
  rates = {client: error_rates(group) for client, group in groups.items()}
  return dict(sorted(rates.items(), key=lambda item: -item[1].wer))


def batches(
  store: client_store.ClientStore, client_ids: Sequence[str] | None = None
) -> tf.data.Dataset:
  """Returns batches of all utterances of some speakers.

  Call this function once and use the dataset for each evaluation: TensorFlow
  keeps the functions of each dataset until the process ends.

  Args:
    store: Store that contains the speakers.
    client_ids: Speakers to evaluate; by default all.
  """
  if client_ids is None:
    client_ids = store.client_ids
  examples = client_datasets.pooled_examples(store, client_ids)
  return batching.by_length(examples, BATCH_SECONDS)


class Evaluator:
  """Transcribes utterances of a store by greedy decoding or beam search.

  TensorFlow traces the encoder's forward pass once.  The weights may change
  between calls.
  """

  def __init__(
    self,
    encoder: Encoder,
    vocabulary: vocabularies.Vocabulary,
    search: beam_search.BeamSearch | None = None,
  ):
    """Builds the evaluator.

    Args:
      encoder: Encoder that computes the logits.
      vocabulary: Vocabulary of the encoder and the store.
      search: Beam search for the tokens; by default, decoding is greedy.
    """
    self._vocabulary = vocabulary
    self._search = search

    @tf.function(input_signature=[batching.BATCH_SPEC])
    def outputs(batch):
      logits, lengths = speech_model.outputs(encoder, batch, training=False)
      losses = speech_model.utterance_losses(encoder, batch, logits, lengths)
      if search:
        log_probs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        return log_probs, lengths, losses
      best = ctc.greedy_tokens(logits, lengths)
      return best.to_tensor(vocabularies.BLANK), best.row_lengths(), losses

    self._outputs = outputs

  def transcribe(self, dataset: tf.data.Dataset) -> list[Transcript]:
    """Returns the transcripts of all utterances, sorted by speaker and name.

    Args:
      dataset: Result of `batches`.
    """
    transcripts = [
      transcript
      for _, transcripts in parallel.map_in_order(
        self._transcribe, dataset, ahead=1, workers=_BATCHES_AT_ONCE
      )
      for transcript in transcripts
    ]
    return sorted(transcripts, key=lambda t: (t.client_id, t.utterance_id))

  def _transcribe(self, batch: Mapping[str, tf.Tensor]) -> list[Transcript]:
    outputs = self._outputs(
      collections.OrderedDict(
        (name, batch[name]) for name in batching.BATCH_SPEC
      )
    )
    rows, lengths, losses = (output.numpy() for output in outputs)
    found = [row[:length] for row, length in zip(rows, lengths, strict=True)]
    if self._search:
      found = [self._search.best(log_probs) for log_probs in found]
    names = ('client_id', 'utterance_id', 'text')
    columns = [batch[name].numpy() for name in names]
    return [
      Transcript(
        client_id.decode(),
        utterance_id.decode(),
        text.decode(),
        self._vocabulary.decode(tokens),
        float(loss),
      )
      for client_id, utterance_id, text, tokens, loss in zip(
        *columns, found, losses, strict=True
      )
    ]
