"""How error rates spread over speakers and utterances, how sure they are."""

from collections.abc import Sequence
import dataclasses
import math

import jiwer
import numpy as np
from scipy import stats

from tff_asr.learning import evaluation

_CONFIDENCE = 0.95
_RESAMPLES = 2_000
_SEED = 0  # The same transcripts give the same interval.
# Words in an utterance, up to.
_LENGTHS = (2, 5, 10, 20, math.inf)


@dataclasses.dataclass(frozen=True)
class ErrorStatistics:
  """Word error rates over some transcripts; 1.0 is 100 %.

  Attributes:
    total: Rates over all.
    interval: 95 % confidence interval of the total WER, by bootstrap over
      speakers (BCa; Efron, 1987), or `None` for fewer than two speakers or
      where all have the same rate.
    weighted_wer: The mean of the utterances' rates, weighted by their words and
      two more, as Pelikan et al. (2025, arXiv 2310.00098) count.
    median_speaker: WER of the speaker in the middle.
    worst_tenth: Rates over the tenth of the speakers who fare worst.
    worst_speakers: How many these are.
    by_length: Rates by the number of words in an utterance, such as `3 to 5`.
  """

  total: evaluation.ErrorRates
  interval: tuple[float, float] | None
  weighted_wer: float
  median_speaker: float
  worst_tenth: evaluation.ErrorRates
  worst_speakers: int
  by_length: dict[str, evaluation.ErrorRates]


def statistics(
  transcripts: Sequence[evaluation.Transcript],
) -> ErrorStatistics:
  """Returns the statistics of transcripts, one or more."""
  clients = evaluation.by_client(transcripts)
  worst = list(clients)[: math.ceil(len(clients) / 10)]
  words = np.array([len(t.reference.split()) for t in transcripts])
  return ErrorStatistics(
    total=evaluation.error_rates(transcripts),
    interval=_bootstrap(*_counts(transcripts, list(clients))),
    weighted_wer=float(
      np.average([t.wer for t in transcripts], weights=words + 2)
    ),
    median_speaker=float(np.median([r.wer for r in clients.values()])),
    worst_tenth=evaluation.error_rates(
      t for t in transcripts if t.client_id in worst
    ),
    worst_speakers=len(worst),
    by_length=_by_length(transcripts, words),
  )


def in_words(found: ErrorStatistics) -> list[str]:
  """Returns what else there is to say of the total, a line each."""
  interval = 'none: speakers do not differ, or there is one'
  if found.interval:
    low, high = found.interval
    interval = f'{low:.1%} to {high:.1%}, by bootstrap over speakers'
  return [
    f'WER, 95 % interval   {interval}',
    f'WER, median speaker  {found.median_speaker:.1%}',
    f'WER, weighted        {found.weighted_wer:.1%}, utterances by words + 2',
  ]


def interval_of_change(
  before: Sequence[evaluation.Transcript],
  after: Sequence[evaluation.Transcript],
) -> tuple[float, float] | None:
  """95 % confidence interval of how much the total WER changes.

  By bootstrap over speakers, as that of the total; `None` for fewer than two
  speakers or where all change alike.

  Args:
    before: Transcripts of some utterances.
    after: Other transcripts of the same ones.
  """
  clients = list(evaluation.by_client(before))
  errors, words = _counts(after, clients)
  return _bootstrap(errors - _counts(before, clients)[0], words)


def _counts(transcripts, clients) -> tuple[np.ndarray, np.ndarray]:
  """Errors and words by client."""
  errors, words = np.zeros([2, len(clients)])
  numbers = {client: i for i, client in enumerate(clients)}
  for transcript in transcripts:
    i = numbers[transcript.client_id]
    found = jiwer.process_words(transcript.reference, transcript.hypothesis)
    errors[i] += found.substitutions + found.deletions + found.insertions
    words[i] += found.hits + found.substitutions + found.deletions
  return errors, words


def _bootstrap(errors, words) -> tuple[float, float] | None:
  if len(words) < 2 or np.ptp(errors / words) == 0.0:
    return None
  found = stats.bootstrap(
    (errors, words),
    lambda errors, words, axis: errors.sum(axis) / words.sum(axis),
    n_resamples=_RESAMPLES,
    confidence_level=_CONFIDENCE,
    paired=True,
    vectorized=True,
    random_state=_SEED,
  ).confidence_interval
  return float(found.low), float(found.high)


def _by_length(transcripts, words) -> dict[str, evaluation.ErrorRates]:
  rates, shortest = {}, 1
  for longest in _LENGTHS:
    group = [
      transcript
      for transcript, count in zip(transcripts, words, strict=True)
      if shortest <= count <= longest
    ]
    if group:
      name = (
        f'{shortest} or more'
        if longest == math.inf
        else f'{shortest} to {longest:g}'
      )
      rates[name] = evaluation.error_rates(group)
    shortest = longest + 1
  return rates
