"""Measures the speed and the memory of federated rounds."""

from collections.abc import Callable, Iterator, Sequence
import os
import pathlib
import sys
import tempfile

import tqdm

from tff_asr import errors
from tff_asr.benchmarks import (
  comparison,
  inputs,
  long_runs,
  many_clients,
  round_memory,
  round_speed,
  round_start,
  small_clients,
  subject,
)
from tff_asr.programs import execution

# Parts whose clients are the speakers of the corpus.
_OF_THE_CORPUS: dict[str, Callable[[inputs.Inputs], Iterator[comparison.Row]]]
_OF_THE_CORPUS = {
  'speed': round_speed.speed,
  'memory': round_memory.memory,
  'start': round_start.start,
  'devices': round_speed.devices,
  'long': long_runs.long,
}
_SMALL = 'small'
_PARTS = {
  **_OF_THE_CORPUS,
  _SMALL: small_clients.small,
  'store': many_clients.store,
  'thousands': round_memory.thousands,
  'growth': long_runs.growth,
  'paper': round_start.paper,
}
PARTS = tuple(_PARTS)


def run(
  input_dir: pathlib.Path | None,
  model: str,
  parts: Sequence[str],
  peer_python: pathlib.Path | None = None,
) -> str:
  """Returns the table of federated rounds.

  Args:
    input_dir: Folder of a corpus in LibriSpeech's layout, whose speakers are
      the clients; by default the speakers are synthetic.
    model: Name of the preset.
    parts: Names of the measurements, from `PARTS`.
    peer_python: A Python that has PyTorch and pfl, to measure pfl-research
      beside this project; `None` to leave it out.

  Raises:
    UserError: If there is no corpus at `input_dir`, `peer_python` cannot be
      used, or a measuring process ends too early.
  """
  load = os.getloadavg()[0]
  peer = ''
  if peer_python:
    errors.require(
      _SMALL in parts,
      f'`peer_python={peer_python}` has no effect: add {_SMALL} to `parts`.',
    )
    peer = f'; {small_clients.peer_versions(peer_python)}'
  rows = []
  with tempfile.TemporaryDirectory() as scratch:
    given = inputs.Inputs(pathlib.Path(scratch), model, input_dir, peer_python)
    if not _OF_THE_CORPUS.keys().isdisjoint(parts):
      given.store()  # A corpus that is missing ends the command now.
    for part in tqdm.tqdm(parts, 'measuring', unit='part', disable=None):
      for row in _PARTS[part](given):
        rows.append(row)
        tqdm.tqdm.write(f'{row.figure}: {row.seen}', file=sys.stderr)
  settings = subject.SubjectConfig(execution.DEVICE, '')
  lines = [
    f'{model}, cohort {settings.cohort_size}, {settings.epochs} epochs of'
    f' batches of {settings.batch_seconds:g} s; {os.cpu_count()} cores, load'
    f' {load:.1f} at the start{peer}',
    '',
    '| figure | measured | target |',
    '|---|---|---|',
    *(f'| {row.figure} | {row.seen} | {row.target} |' for row in rows),
  ]
  return '\n'.join(lines)
