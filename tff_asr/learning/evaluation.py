"""Word and character error rates of a model on the speakers of a store.

Rates are corpus rates, that is, errors over reference words (characters) in
all, as jiwer counts them.
"""

from collections.abc import Iterable
import dataclasses

import jiwer
import numpy as np
import tensorflow as tf

from tff_asr.audio import features
from tff_asr.corpora import store as store_lib
from tff_asr.corpora import utterance as utterance_lib
from tff_asr.models import ctc, transformer
from tff_asr.text import vocabulary

_BATCH_SECONDS = 200.0


@dataclasses.dataclass(frozen=True)
class Transcript:
  """What was said and what the model heard.

  Attributes:
    client_id: The speaker.
    utterance_id: Its name in the corpus.
    reference: What was said.
    hypothesis: What the model heard.
  """

  client_id: str
  utterance_id: str
  reference: str
  hypothesis: str

  @property
  def wer(self) -> float:
    """Word error rate of this utterance alone."""
    return jiwer.wer(self.reference, self.hypothesis)


@dataclasses.dataclass(frozen=True)
class ErrorRates:
  """Error rates over some utterances.

  Attributes:
    utterances: How many there are.
    words: Number of words in the references.
    wer: Word error rate, 1.0 is 100 %.
    cer: Character error rate.
  """

  utterances: int
  words: int
  wer: float
  cer: float


def error_rates(transcripts: Iterable[Transcript]) -> ErrorRates:
  """Returns the rates over `transcripts`, one or more."""
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
  """Returns the rates of every speaker, the worst word error rate first."""
  groups: dict[str, list[Transcript]] = {}
  for transcript in transcripts:
    groups.setdefault(transcript.client_id, []).append(transcript)
  rates = {client: error_rates(group) for client, group in groups.items()}
  return dict(sorted(rates.items(), key=lambda item: -item[1].wer))


class Evaluator:
  """Transcribes a store's utterances by greedy decoding.

  The encoder's forward pass is traced once; its weights may change between
  calls.
  """

  def __init__(
    self,
    encoder: transformer.Transformer,
    characters: vocabulary.CharacterVocabulary,
  ):
    self._characters = characters

    @tf.function(
      input_signature=[
        tf.TensorSpec([None, None], tf.float32),
        tf.TensorSpec([None], tf.int32),
      ]
    )
    def tokens(waveforms, samples):
      frames = features.num_frames(samples)
      logits = encoder(features.log_mel(waveforms), frames, training=False)
      best = ctc.greedy_tokens(logits, transformer.output_frames(frames))
      return best.to_tensor(vocabulary.BLANK)

    self._tokens = tokens

  def transcribe(self, store: store_lib.ClientStore) -> list[Transcript]:
    """Returns the transcript of every utterance, client by client."""
    return [
      transcript
      for client_id in store.client_ids
      for transcript in self._transcribe(store.utterances(client_id))
    ]

  def _transcribe(
    self, utterances: list[utterance_lib.Utterance]
  ) -> Iterable[Transcript]:
    for batch in _batches(utterances):
      samples = np.array([len(u.audio) for u in batch], np.int32)
      waveforms = np.zeros([len(batch), samples.max()], np.float32)
      for row, u in zip(waveforms, batch, strict=True):
        row[: len(u.audio)] = u.audio / np.float32(32768.0)
      tokens = self._tokens(waveforms, samples).numpy()
      for row, u in zip(tokens, batch, strict=True):
        yield Transcript(
          u.client_id, u.utterance_id, u.text, self._characters.decode(row)
        )


def _batches(
  utterances: list[utterance_lib.Utterance],
) -> Iterable[list[utterance_lib.Utterance]]:
  """Groups neighbours so that a padded batch is at most 200 s long."""
  batch: list[utterance_lib.Utterance] = []
  for u in utterances:
    longest = max([u.seconds, *(b.seconds for b in batch)])
    if batch and longest * (len(batch) + 1) > _BATCH_SECONDS:
      yield batch
      batch = []
    batch.append(u)
  if batch:
    yield batch
