"""A program that kills itself at each point of a run in turn.

Called with a folder, it prints a line of JSON for each point: before each
write, sync, rename and removal, and in the middle of a line of the ledger, a
process gets SIGKILL; another goes on.  Each is forked before TensorFlow has run
anything, so that it need not import it again.
"""

import asyncio
import collections
import csv
import json
import os
import pathlib
import signal
import sys

import tensorflow as tf

_ROUNDS = 2


class _Points:
  """Counts the points of this process; kills it at one of them."""

  def __init__(self):
    self.passed = 0
    self.fatal = -1

  def pass_one(self):
    self.passed += 1
    if self.passed == self.fatal:
      os.kill(os.getpid(), signal.SIGKILL)


_POINTS = _Points()


def _before(function):
  def wrapped(*args, **kwargs):
    _POINTS.pass_one()
    return function(*args, **kwargs)

  return wrapped


# TFF takes these when it is imported.
for name in ('makedirs', 'rmtree', 'rename', 'remove', 'copy'):
  setattr(tf.io.gfile, name, _before(getattr(tf.io.gfile, name)))
tf.io.gfile.GFile.write = _before(tf.io.gfile.GFile.write)
for name in ('fsync', 'link'):
  setattr(os, name, _before(getattr(os, name)))
for name in ('rename', 'unlink'):
  setattr(pathlib.Path, name, _before(getattr(pathlib.Path, name)))

from tff_asr import durable  # noqa: E402
from tff_asr.privacy import plans  # noqa: E402
from tff_asr.privacy.accounting import ledger  # noqa: E402
from tff_asr.privacy.mechanism import gaussian, layer_clipping  # noqa: E402
from tff_asr.privacy.sampling import poisson  # noqa: E402
from tff_asr.programs import program_logic, recorded_rounds  # noqa: E402
from tff_asr.runs import checkpoints, metrics_file  # noqa: E402

_PLAN = plans.PrivacyPlan(
  sampling=poisson.Poisson(population=10, cohort_size=2),
  mechanism=gaussian.Gaussian(
    clipping=layer_clipping.LayerClipping(1.0), noise_multiplier=1.0
  ),
  rounds=_ROUNDS,
  delta=1e-6,
)
_Output = collections.namedtuple('_Output', ['state', 'metrics'])


def _append_in_two_parts(path, size, line):
  """As `durable.append`, with a point after half of the line."""
  whole = _append(path, size, line[: len(line) // 2])
  _POINTS.pass_one()
  del whole
  return _append(path, size, line)


_append = durable.append
durable.append = _append_in_two_parts


class _Checkpoints(checkpoints.Checkpoints):
  """Notes, before a state is written, that its round is being released."""

  def __init__(self, folder):
    super().__init__(folder / 'checkpoints', keep_last=2)
    self._releases = folder / 'releases'

  async def save(self, program_state, version):
    if version:
      with open(self._releases, 'a') as file:
        file.write(f'{version}\n')
    await super().save(program_state, version)


def _next_round(state, cohort):
  del cohort
  number = float(state['sum']) + 1.0
  return _Output({'sum': number}, {'number': number})


def _run(folder):
  book = _PLAN.open_ledger(folder / ledger.FILE_NAME)
  metrics = metrics_file.MetricsFile(
    folder / 'metrics.csv',
    lambda: checkpoints.figures(folder / 'checkpoints'),
  )
  state = asyncio.run(
    program_logic.Program(
      next_round=_next_round,
      initial_state={'sum': 0.0},
      last_released=metrics.last_round,
      cohorts=_PLAN.cohorts([f'{i}' for i in range(10)]),
      rounds=recorded_rounds.RecordedRounds(_PLAN, book),
      checkpoints=_Checkpoints(folder),
      checkpoint_every=1,
      release_managers=[metrics],
      round_metrics=lambda metrics, seconds: {'x': metrics['number']},
      evaluate=lambda state: {'wer': 0.5},
      evaluate_every=1,
      on_round=lambda number, metrics: None,
    ).train()
  )
  assert float(state.learning['sum']) == _ROUNDS


def _in_a_fork(folder, fatal):
  """Returns the exit code of a run that may kill itself, -9 if it did."""
  child = os.fork()
  if child == 0:
    _POINTS.passed, _POINTS.fatal = 0, fatal
    try:
      _run(folder)
    except BaseException as error:
      print(json.dumps({'error': repr(error)}), flush=True)
      os._exit(1)
    os._exit(0)
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _counted(folder):
  path = folder / ledger.FILE_NAME
  complete = path.exists() and b'\n' in path.read_bytes()
  counts = ledger.Ledger(path).releases() if complete else ()
  return sum(count for _, count in counts)


def _released(folder):
  path = folder / 'releases'
  return len(path.read_text().split()) if path.exists() else 0


def main(root):
  fatal = 0
  code = -signal.SIGKILL
  while code == -signal.SIGKILL:
    fatal += 1
    folder = root / f'{fatal}'
    folder.mkdir()
    code = _in_a_fork(folder, fatal)
    at_death = (_released(folder), _counted(folder))
    after = _in_a_fork(folder, -1)
    with open(folder / 'metrics.csv', newline='') as file:
      rows = [(int(row['round']), row.get('x')) for row in csv.DictReader(file)]
    print(
      json.dumps(
        {
          'point': fatal,
          'code': code,
          'at_death': at_death,
          'code_after': after,
          'at_end': (_released(folder), _counted(folder)),
          'rows': rows,
        }
      ),
      flush=True,
    )


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]))
