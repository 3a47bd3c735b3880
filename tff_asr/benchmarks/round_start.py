"""Measures the time to the first round, and rounds of the paper's model."""

from collections.abc import Iterator
import dataclasses
import statistics

from tff_asr.benchmarks import comparison, corpora, inputs, subject
from tff_asr.benchmarks.comparison import Row

_DEEP = 36  # Blocks of the paper's model.
_ROUNDS = 3  # After the first round.
_PAPER_SECONDS = 3.0
_PAPER_TEXT = 'the quick brown fox jumps over the lazy dog'


def start(given: inputs.Inputs) -> Iterator[Row]:
  """Yields rows on the time up to the end of the first round."""
  for blocks, target in ((None, 10), (_DEEP, 40)):
    config = given.config(private=True, blocks=blocks)
    what = f'{blocks} blocks of its width' if blocks else given.model
    with comparison.subject(inputs.program(config)) as running:
      first = running.first['seconds']
      later = running.run()['seconds']
    yield Row(
      f'start to the end of the first round, {what}',
      f'{first:.1f} s (then {later:.1f} s a round)',
      f'<= {target} s',
    )


def paper(given: inputs.Inputs) -> Iterator[Row]:
  """Yields rows on rounds of the paper's model."""
  config = given.config(
    store=given.store_of(
      corpora.Noise(2, _PAPER_SECONDS, _PAPER_TEXT), 'paper'
    ),
    model='paper',
    cohort_size=2,
    private=True,
    epochs=1,
    clients_per_device=1,
  )
  with comparison.subject(inputs.program(config)) as running:
    first = running.first['seconds']
    rounds = [running.run() for _ in range(_ROUNDS)]
  yield Row(
    '`paper`, cohort 2, 3 s each, DP: start to the end of the first round',
    f'{first:.1f} s',
  )
  later = statistics.median(r['seconds'] for r in rounds)
  yield Row('the same, each later round', f'{later:.1f} s')
  yield Row(
    'the same, peak memory',
    f'{rounds[-1]["peak"] / comparison.GB:.2f} GB',
    '<= 12 GB',
  )
  noise = dataclasses.replace(config, runtime=subject.NOISE)
  with comparison.subject(inputs.program(noise)) as running:
    seconds = statistics.median(
      running.run()['seconds'] for _ in range(_ROUNDS)
    )
  yield Row('its noise alone', f'{seconds:.1f} s')
