"""Measures the memory of rounds, by size of the cohort and number of rounds."""

from collections.abc import Iterator
import json
import os
import subprocess
import sys

from tff_asr import errors
from tff_asr.benchmarks import comparison, corpora, inputs, subject
from tff_asr.benchmarks.comparison import GB, Row
from tff_asr.corpora.readers.synthetic import synthetic_corpus
from tff_asr.programs import execution

_LONG_RUN = 'tff_asr.benchmarks.long_run'
_LONG_ROUNDS = 300
# Different clients, the same in every cohort: larger ones take more memory.
_FEW_CLIENTS = 8
_COHORT = 128  # For the comparison with TFF's runtime.
_MANY_CLIENTS = 256
_THOUSANDS = 4_096


def memory(given: inputs.Inputs) -> Iterator[Row]:
  """Yields rows on the peak memory of rounds, by size of the cohort."""

  def peak(runtime, cohort_size, at_once=None):
    config = given.config(
      runtime=runtime,
      cohort_size=cohort_size,
      clients_per_device=at_once,
      different_clients=_FEW_CLIENTS,
      epochs=1,
    )
    return _peak(config, _MANY_CLIENTS)

  few, many = (
    peak(execution.DEVICE, size) for size in (_FEW_CLIENTS, _MANY_CLIENTS)
  )
  yield _cohorts_row(given.model, (_MANY_CLIENTS, many), (_FEW_CLIENTS, few))
  ours = peak(execution.DEVICE, _COHORT)
  for how, at_once in (('', None), (', all clients at once', _COHORT)):
    theirs = peak(execution.NATIVE, _COHORT, at_once)
    yield Row(
      f"peak memory, cohort {_COHORT}, a round / TFF's runtime{how}",
      f'{ours / theirs:.2f} ({ours / GB:.2f} GB, {theirs / GB:.2f} GB)',
      '<= 0.25',
    )


def thousands(given: inputs.Inputs) -> Iterator[Row]:
  """Yields the row of the peak memory of a cohort of thousands."""
  store = given.store_of(corpora.Commands(_FEW_CLIENTS), 'few_commands')
  few, many = (
    _peak(
      given.config(
        store=store,
        model='tiny',
        cohort_size=size,
        different_clients=_FEW_CLIENTS,
        private=True,
        epochs=1,
      ),
      _THOUSANDS,
    )
    for size in (_FEW_CLIENTS, _THOUSANDS)
  )
  yield _cohorts_row(
    '`tiny`, 2 utterances a client, DP',
    (_THOUSANDS, many),
    (_FEW_CLIENTS, few),
  )


def _peak(config: subject.SubjectConfig, clients: int) -> float:
  """Returns the peak memory of rounds that train `clients` clients in total."""
  with comparison.subject(inputs.program(config)) as running:
    rounds = clients // config.cohort_size
    return max(running.run()['peak'] for _ in range(rounds))


def _cohorts_row(
  what: str, many: tuple[int, float], few: tuple[int, float]
) -> Row:
  """Returns the row of two cohorts, each a number of clients and a peak."""
  return Row(
    f'{what}: peak memory, cohort {many[0]:,} / cohort {few[0]}',
    f'{many[1] / few[1]:.3f} ({many[1] / GB:.2f} GB, {few[1] / GB:.2f} GB)',
    '<= 1.05',
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
