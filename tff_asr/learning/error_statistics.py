"""Computes error rates over speakers and lengths, and their confidence."""

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
# Greatest number of words in each group of utterances.
_LENGTHS = (2, 5, 10, 20, math.inf)


@dataclasses.dataclass(frozen=True)
class ErrorStatistics:
  """Statistics of word error rates (WER) over transcripts; 1.0 is 100 %.

  Attributes:
    total: Error rates over all transcripts.
    interval: 95 % confidence interval of the total WER, by bootstrap over
      speakers (BCa; Efron, 1987).  `None` for fewer than two speakers, or if
      all speakers have the same WER.
    weighted_wer: Mean of the utterances' WERs.  The weight of an utterance is
      its number of words plus two, as in Pelikan et al. (2025, arXiv
      2310.00098).
    median_speaker: Median of the speakers' WERs.
    worst_tenth: Error rates over the tenth of the speakers with the highest
      WERs.
    worst_speakers: Number of speakers in the worst tenth.
    by_length: Error rates by the number of words in an utterance.  A key is,
      for example, `3 to 5`.
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
  """Returns the statistics of one or more transcripts."""
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
  """Returns a line each for the interval, the median and the weighted WER."""
  interval = 'none: all speakers have the same WER, or there is one speaker'
  if found.interval:
    low, high = found.interval
    interval = f'{low:.1%} to {high:.1%}, by bootstrap over speakers'
  return [
    f'WER, 95 % interval   {interval}',
    f'WER, median speaker  {found.median_speaker:.1%}',
    f'WER, weighted        {found.weighted_wer:.1%}, mean over utterances,'
    ' weight = words + 2',
  ]


def interval_of_change(
  before: Sequence[evaluation.Transcript],
  after: Sequence[evaluation.Transcript],
) -> tuple[float, float] | None:
  """Returns the 95 % confidence interval of the change of the total WER.

  The interval is by bootstrap over speakers, as `ErrorStatistics.interval`.
  The result is `None` for fewer than two speakers, or if the WERs of all
  speakers change by the same amount.

  Args:
    before: Transcripts of some utterances.
    after: Later transcripts of the same utterances.
  """
  clients = list(evaluation.by_client(before))
  errors, words = _counts(after, clients)
  return _bootstrap(errors - _counts(before, clients)[0], words)


def change_in_words(interval: tuple[float, float]) -> str:
  """Returns a line on the result of `interval_of_change`."""
  low, high = (100 * bound for bound in interval)
  return (
    f'WER changes by {low:+.1f} to {high:+.1f} percentage points (95 %'
    ' interval, by bootstrap over speakers)'
  )


def _counts(transcripts, clients) -> tuple[np.ndarray, np.ndarray]:
  """Returns the numbers of errors and of words, float64 `[clients]` each."""
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
