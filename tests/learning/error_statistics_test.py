import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from tff_asr.learning import error_statistics, evaluation


def transcript(client, number, words, errors):
  """An utterance whose first words have errors."""
  reference = ['a'] * words
  return evaluation.Transcript(
    client,
    f'{client}-{number}',
    ' '.join(reference),
    ' '.join(['b'] * errors + reference[errors:]),
  )


def corpus(rates, words=20, utterances=4):
  """Speakers with given word error rates."""
  return [
    transcript(f's{i:03d}', j, words, round(rate * words))
    for i, rate in enumerate(rates)
    for j in range(utterances)
  ]


def test_the_worst_tenth_and_the_median_are_of_speakers():
  found = error_statistics.statistics(corpus(np.arange(20) / 20))
  assert found.total.wer == pytest.approx(0.475)
  assert found.median_speaker == pytest.approx(0.475)
  assert found.worst_speakers == 2
  assert found.worst_tenth.wer == pytest.approx((0.95 + 0.9) / 2)


def test_utterances_are_grouped_by_their_words():
  transcripts = [
    transcript('a', n, n, n % 2) for n in (1, 2, 3, 5, 6, 20, 21, 50)
  ]
  found = error_statistics.statistics(transcripts).by_length
  assert {name: rates.utterances for name, rates in found.items()} == {
    '1 to 2': 2,
    '3 to 5': 2,
    '6 to 10': 1,
    '11 to 20': 1,
    '21 or more': 2,
  }
  assert found['3 to 5'].wer == pytest.approx(2 / 8)


def test_the_weighted_rate_counts_two_more_words():
  transcripts = [transcript('a', 0, 8, 8), transcript('a', 1, 1, 0)]
  found = error_statistics.statistics(transcripts)
  assert found.weighted_wer == pytest.approx(10 / 13)
  assert found.total.wer == pytest.approx(8 / 9)


def test_the_weights_are_explained():
  found = error_statistics.statistics([transcript('a', 0, 8, 4)])
  *_, line = error_statistics.in_words(found)
  assert line.endswith('50.0%, mean over utterances, weight = words + 2')


def test_a_change_is_in_percentage_points():
  line = error_statistics.change_in_words((-0.292, 0.083))
  assert line.startswith('WER changes by -29.2 to +8.3 percentage points')


@given(
  st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 30), st.integers(0, 30)),
    min_size=1,
    max_size=12,
  )
)
def test_any_transcripts_have_statistics(utterances):
  transcripts = [
    transcript(f'{client}', number, words, min(errors, words))
    for number, (client, words, errors) in enumerate(utterances)
  ]
  found = error_statistics.statistics(transcripts)
  assert found.worst_tenth.wer >= found.total.wer - 1e-9
  assert sum(r.utterances for r in found.by_length.values()) == len(utterances)
  if found.interval:
    low, high = found.interval
    assert 0.0 <= low <= high <= 1.0 and not math.isnan(low)


@pytest.mark.parametrize('rates', [[0.5], [0.5, 0.5], [0.0, 0.0, 0.0]])
def test_without_spread_there_is_no_interval(rates):
  assert error_statistics.statistics(corpus(rates)).interval is None


def test_the_interval_covers_the_rate_of_the_population():
  """Of 200 samples, 95 % should; 171 or fewer have a probability of 3e-7.

  A bootstrap over 40 speakers covers a little less than it says; were it 93 %,
  that probability would be 2e-4.
  """
  rng = np.random.default_rng(0)
  covered = 0
  for _ in range(200):
    found = error_statistics.statistics(
      corpus(rng.beta(2.0, 6.0, 40), words=100, utterances=1)
    )
    low, high = found.interval
    covered += low <= 0.25 <= high
  assert covered >= 172
