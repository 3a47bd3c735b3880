"""Measures whether the memory or the time of a run grows with its rounds."""

from collections.abc import Iterator
import json
import os
import statistics
import subprocess
import sys

from tff_asr import errors
from tff_asr.benchmarks import comparison, corpora, inputs
from tff_asr.benchmarks.comparison import GB, Row
from tff_asr.corpora.readers.synthetic import synthetic_corpus

_LONG_RUN = 'tff_asr.benchmarks.long_run'
_LONG_ROUNDS = 300
_GROWTH_ROUNDS = 2_000
_EARLY = 20
_WINDOW = 20  # Rounds around an early round, and before the last.
_GROWTH_CLIENTS = 64


def long(given: inputs.Inputs) -> Iterator[Row]:
  """Yields rows on the memory of a run of many rounds."""
  resident = {
    line['round']: line['resident']
    for line in _rounds(given, given.store(), 'run', _LONG_ROUNDS)
  }
  warm = resident[_LONG_ROUNDS // 6]
  most = max(size for n, size in resident.items() if n > _LONG_ROUNDS // 6)
  last = resident[_LONG_ROUNDS]
  yield Row(
    f'`tiny`, memory of a run after round {_LONG_ROUNDS} / after round'
    f' {_LONG_ROUNDS // 6}',
    f'{last / warm:.3f} ({last / GB:.2f} GB, {warm / GB:.2f} GB)',
    '<= 1.05',
  )
  yield Row(
    'the same, largest memory after any of the rounds between',
    f'{most / warm:.3f}',
    '<= 1.05',
  )


def growth(given: inputs.Inputs) -> Iterator[Row]:
  """Yields the row on the time of a late round of a run.

  The clients have little data, so most of the time is for the rest of a round.
  """
  store = given.store_of(corpora.Noise(_GROWTH_CLIENTS), 'little')
  times = {
    line['round']: line['time']
    for line in _rounds(given, store, 'growth', _GROWTH_ROUNDS)
  }

  def seconds(last):
    return statistics.median(
      times[number] - times[number - 1]
      for number in range(max(last - _WINDOW, 1) + 1, last + 1)
    )

  early, late = seconds(_EARLY + _WINDOW // 2), seconds(_GROWTH_ROUNDS)
  yield Row(
    f'`tiny`, time of a round at round {_GROWTH_ROUNDS:,} / at round {_EARLY}'
    f' (medians of {_WINDOW} rounds)',
    f'{late / early:.3f} ({1e3 * late:.0f} ms, {1e3 * early:.0f} ms)',
    '<= 1.1',
  )


def _rounds(
  given: inputs.Inputs, store: str, name: str, rounds: int
) -> list[dict[str, float]]:
  """Returns the measurements of every round of a run of `tiny`.

  Args:
    given: The inputs of the part.
    store: Store of the clients.
    name: Name of the run's folder.
    rounds: Number of rounds.

  Raises:
    UserError: If the run ends too early.
  """
  held_out = given.store_of(
    synthetic_corpus.Synthetic(
      synthetic_corpus.SyntheticConfig(2, 1, held_out_voices=True)
    ),
    'held_out',
  )
  run = [store, held_out, given.folder / name, 'tiny', rounds]
  process = subprocess.run(
    [sys.executable, '-m', _LONG_RUN, *map(str, run)],
    env={**os.environ, **comparison.own_packages()},
    stdout=subprocess.PIPE,
    text=True,
  )
  errors.require(
    process.returncode == 0,
    f'The run of {rounds} rounds ended with code {process.returncode}; see its'
    ' output above.',
  )
  lines = [x for x in process.stdout.splitlines() if x.startswith('{')]
  return [line for line in map(json.loads, lines) if line['event'] == 'round']
