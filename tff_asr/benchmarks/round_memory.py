"""Measures the memory of rounds, by size of the cohort and number of rounds."""

from collections.abc import Iterator
import json
import os
import subprocess
import sys

from tff_asr import errors
from tff_asr.benchmarks import comparison, inputs
from tff_asr.benchmarks.comparison import GB, Row
from tff_asr.corpora.readers.synthetic import synthetic_corpus
from tff_asr.programs import execution

_LONG_RUN = 'tff_asr.benchmarks.long_run'
_LONG_ROUNDS = 300
# Different clients, the same in every cohort: larger ones take more memory.
_FEW_CLIENTS = 8
_COHORT = 128  # For the comparison with TFF's runtime.
_MANY_CLIENTS = 256


def memory(given: inputs.Inputs) -> Iterator[Row]:
  """Yields rows on the peak memory of rounds, by size of the cohort."""

  def peak(runtime, cohort_size, at_once=None):
    """Returns the peak of training `_MANY_CLIENTS` clients in total."""
    config = given.config(
      runtime=runtime,
      cohort_size=cohort_size,
      clients_per_device=at_once,
      different_clients=_FEW_CLIENTS,
      epochs=1,
    )
    with comparison.subject(inputs.program(config)) as running:
      rounds = _MANY_CLIENTS // cohort_size
      return max(running.run()['peak'] for _ in range(rounds))

  few, many = (
    peak(execution.DEVICE, size) for size in (_FEW_CLIENTS, _MANY_CLIENTS)
  )
  yield Row(
    f'peak memory, cohort {_MANY_CLIENTS} / cohort {_FEW_CLIENTS}',
    f'{many / few:.3f} ({many / GB:.2f} GB, {few / GB:.2f} GB)',
    '<= 1.05',
  )
  ours = peak(execution.DEVICE, _COHORT)
  for how, at_once in (('', None), (', all clients at once', _COHORT)):
    theirs = peak(execution.NATIVE, _COHORT, at_once)
    yield Row(
      f"peak memory, cohort {_COHORT}, a round / TFF's runtime{how}",
      f'{ours / theirs:.2f} ({ours / GB:.2f} GB, {theirs / GB:.2f} GB)',
      '<= 0.25',
    )


def long(given: inputs.Inputs) -> Iterator[Row]:
  """Yields rows on the memory of a run of many rounds."""
  held_out = given.store_of(
    synthetic_corpus.Synthetic(
      synthetic_corpus.SyntheticConfig(2, 1, held_out_voices=True)
    ),
    'held_out',
  )
  run = [given.store(), held_out, given.folder / 'run', 'tiny', _LONG_ROUNDS]
  process = subprocess.run(
    [sys.executable, '-m', _LONG_RUN, *map(str, run)],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    stdout=subprocess.PIPE,
    text=True,
  )
  errors.require(
    process.returncode == 0,
    f'The run of {_LONG_ROUNDS} rounds ended with code {process.returncode};'
    ' see its output above.',
  )
  lines = [x for x in process.stdout.splitlines() if x.startswith('{')]
  resident = {
    line['round']: line['resident']
    for line in map(json.loads, lines)
    if line['event'] == 'round'
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
