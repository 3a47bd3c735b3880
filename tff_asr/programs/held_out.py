"""Evaluation of a run on its held-out speakers."""

from collections.abc import Sequence
import dataclasses
import pathlib
import statistics

from tff_asr.corpora import client_store
from tff_asr.learning import evaluation
from tff_asr.models import model_folder
from tff_asr.models.encoder import Encoder
from tff_asr.programs import program_logic
from tff_asr.runs import columns


@dataclasses.dataclass(frozen=True)
class Results:
  """Holds the results of the final model on the held-out speakers.

  Attributes:
    transcripts: The transcripts of all utterances.
    seed_rates: Error rates of the seed model on all held-out speakers, if they
      were asked for.
  """

  transcripts: list[evaluation.Transcript]
  seed_rates: evaluation.ErrorRates | None


class HeldOut:
  """Transcribes held-out speakers with the current weights of an encoder."""

  def __init__(
    self,
    encoder: Encoder,
    store: client_store.ClientStore,
    between: Sequence[str],
  ):
    """Makes the batches once: TensorFlow keeps each dataset's functions.

    Args:
      encoder: The encoder of the run.
      store: The held-out speakers.
      between: The speakers of an evaluation between rounds.
    """
    self._encoder = encoder
    self._evaluator = evaluation.Evaluator(encoder, store.vocabulary)
    self._everybody = evaluation.batches(store)
    self._between = evaluation.batches(store, between)

  def rates_between(self) -> program_logic.Metrics:
    """Returns the metrics of an evaluation between rounds."""
    transcripts = self._evaluator.transcribe(self._between)
    rates = evaluation.error_rates(transcripts)
    loss = statistics.fmean(t.loss for t in transcripts)
    return {
      columns.WER: rates.wer,
      columns.CER: rates.cer,
      columns.EVAL_LOSS: loss,
    }

  def evaluate(self, seed_model: pathlib.Path | None) -> Results:
    """Evaluates the final model, and the seed model if its folder is given.

    The encoder may hold the weights of the seed model afterwards.
    """
    transcripts, seed_rates = self._evaluator.transcribe(self._everybody), None
    if seed_model:
      seed_encoder, _ = model_folder.load(seed_model)
      self._encoder.set_weights(seed_encoder.get_weights())
      seed_rates = evaluation.error_rates(
        self._evaluator.transcribe(self._everybody)
      )
    return Results(transcripts, seed_rates)
