"""Measures private rounds of a large cohort, from a store of small clients."""

from collections.abc import Iterator
import statistics

from tff_asr.benchmarks import comparison, corpora, inputs
from tff_asr.benchmarks.comparison import Row

_CLIENTS = 12_800
_COHORT = 1_280
_UTTERANCES = 2
_ROUNDS = 3  # After the first round.


def store(given: inputs.Inputs) -> Iterator[Row]:
  """Yields the rows of clients per second, with everything a client costs.

  A client costs reading, features, training, clipping and adding up.  Each
  round has other clients.
  """
  config = given.config(
    store=given.store_of(
      corpora.Commands(_CLIENTS, _UTTERANCES), 'many_commands'
    ),
    model='tiny',
    cohort_size=_COHORT,
    rotates=True,
    private=True,
    epochs=1,
  )
  with comparison.subject(inputs.program(config)) as running:
    first = running.first['seconds']
    rounds = [running.run() for _ in range(_ROUNDS)]
  seconds = statistics.median(line['seconds'] for line in rounds)
  yield Row(
    f'`tiny`, a store of {_CLIENTS:,} clients with {_UTTERANCES} utterances of'
    f' noise as long as speech, cohort {_COHORT:,}, DP, one epoch: clients per'
    ' second',
    f'{_COHORT / seconds:.1f} ({seconds:.1f} s a round)',
  )
  yield Row('the same: start to the end of the first round', f'{first:.1f} s')
  yield Row(
    'the same: peak memory', f'{rounds[-1]["peak"] / comparison.GB:.2f} GB'
  )
