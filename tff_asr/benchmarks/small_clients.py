"""Measures rounds of many small clients, beside pfl-research if it is given.

A client with a few seconds of speech trains in milliseconds.  So the figures
show all other costs of a client.
"""

from collections.abc import Iterator
import dataclasses
import pathlib
import statistics
import subprocess

from tff_asr import errors
from tff_asr.benchmarks import comparison, inputs, small_subject, subject
from tff_asr.benchmarks.comparison import Row
from tff_asr.programs import execution

_SUBJECT = 'tff_asr.benchmarks.small_subject'
_PEER = pathlib.Path(__file__).with_name('peer_pfl.py')
# Without the folder of the program, and without this process's packages.
_ISOLATED = '-I'
_VERSIONS = (
  'import numpy, pfl, torch;'
  ' print(f"pfl {pfl.__version__}, PyTorch {torch.__version__}")'
)
_ROUNDS = 2  # Of a subject in its turn: a round takes less than a second.
_LOOP, _ROUND, _NATIVE = 'the plain loop', 'a round', "TFF's runtime"
_PEER_LOOP, _PEER_ROUND = "pfl's plain loop", "pfl's round"
# Pairs of subjects for each work, and the target of the ratio of their times.
_WORKS = {
  small_subject.Work(
    clients=8, utterances=4, width=144, blocks=4, mlp_width=576
  ): {
    (_ROUND, _LOOP): '<= 1.10',
    (_ROUND, _PEER_ROUND): '<= 0.9',
    (_NATIVE, _ROUND): '',
    (_LOOP, _PEER_LOOP): '',
  },
  small_subject.Work(
    clients=64, utterances=2, width=64, blocks=2, mlp_width=256
  ): {
    (_ROUND, _LOOP): '<= 1.15',
    (_ROUND, _PEER_ROUND): '<= 0.8',
    (_NATIVE, _ROUND): '>= 3',
    (_LOOP, _PEER_LOOP): '<= 1.0',
  },
}


def peer_versions(python: pathlib.Path) -> str:
  """Returns the versions of pfl and PyTorch in another Python.

  Raises:
    UserError: If there is no such Python, or one of its packages is missing.
  """
  try:
    found = subprocess.run(
      [python, _ISOLATED, '-c', _VERSIONS],
      capture_output=True,
      text=True,
      stdin=subprocess.DEVNULL,
    )
  except OSError as error:
    raise errors.UserError(
      f'`peer_python={python}` cannot be started ({error.strerror}): give the'
      ' Python of an environment that has torch and pfl, such as'
      ' VENV/bin/python.'
    ) from error
  reason = (found.stderr.strip().splitlines() or ['no message'])[-1]
  errors.require(
    found.returncode == 0,
    f'`peer_python={python}` cannot import numpy, torch and pfl ({reason}):'
    ' install numpy, torch and pfl 0.6 there.',
  )
  return found.stdout.strip()


def small(given: inputs.Inputs) -> Iterator[Row]:
  """Yields rows on small clients whose features are in memory."""
  for work, targets in _WORKS.items():
    yield from _rows(work, given.peer_python, targets)


def _rows(
  work: small_subject.Work,
  peer: pathlib.Path | None,
  targets: dict[tuple[str, str], str],
) -> Iterator[Row]:
  """Yields the rows of some pairs of subjects.

  Args:
    work: The cohort and the encoder.
    peer: A Python that has PyTorch and pfl, or `None`.
    targets: Target of the ratio of each pair.
  """
  parameters = sum(work.encoder.layer_sizes().values())
  with comparison.subjects(_programs(work, peer)) as running:
    for name, subject in running.items():
      own = subject.first.get('parameters', parameters)
      if own != parameters:
        raise RuntimeError(f'{name} has {own} parameters, not {parameters}.')
    seconds = comparison.seconds_in_turn(running, comparison.TURNS, _ROUNDS)
  yield Row(
    f'{work.clients} clients x {work.utterances} utterances of'
    f' {work.frames / 100:g} s, width {work.width}, {work.blocks} blocks,'
    f' {parameters / 1e6:.2f} M parameters, DP: clients per second',
    f'{work.clients / statistics.median(seconds[_ROUND]):.1f}',
  )
  for names, target in targets.items():
    if seconds.keys() >= set(names):
      figure = f'the same: {" / ".join(names)}'
      yield comparison.ratio_row(seconds, figure, names, target)


def _programs(
  work: small_subject.Work, peer: pathlib.Path | None
) -> dict[str, comparison.Program]:
  programs = {
    name: comparison.of_module(_SUBJECT, small_subject.SmallConfig(way, work))
    for name, way in (
      (_LOOP, subject.LOOP),
      (_ROUND, execution.DEVICE),
      (_NATIVE, execution.NATIVE),
    )
  }
  if peer:
    for name, way in ((_PEER_LOOP, 'loop'), (_PEER_ROUND, 'round')):
      programs[name] = comparison.Program(
        (str(peer), _ISOLATED, str(_PEER)),
        {'way': way, 'work': dataclasses.asdict(work)},
      )
  return programs
