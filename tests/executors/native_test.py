import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow_federated as tff

from tff_asr.executors import native


@pytest.fixture(scope='module')
def worker():
  worker = native.set_native_context()
  yield worker
  worker.stop()


def test_a_federated_sum_for_every_size_of_cohort(worker):
  del worker

  @tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
  def total(values):
    return tff.federated_sum(values)

  for size in (3, 1, 0, 5, 3):
    assert total(list(range(size))) == sum(range(size))


def children(pid):
  found = []
  for task in pathlib.Path(f'/proc/{pid}/task').glob('*/children'):
    # A thread may end meanwhile.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      found += map(int, task.read_text().split())
  return found


def is_running(pid):
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]
  except (FileNotFoundError, ProcessLookupError):
    return False
  return state.split()[0] not in 'ZX'


def test_stop_ends_the_worker_and_can_be_repeated():
  before = set(children(os.getpid()))
  worker = native.Worker(1)
  started = set(children(os.getpid())) - before
  assert any(is_running(pid) for pid in started)
  worker.stop()
  worker.stop()
  assert not any(is_running(pid) for pid in started)


@pytest.mark.parametrize('signal_number', [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_is_left_behind_when_the_program_is_killed(signal_number):
  program = subprocess.Popen(
    [
      sys.executable,
      '-c',
      'import sys; from tff_asr.executors import native;'
      ' worker = native.Worker(1); print("ready", flush=True);'
      ' sys.stdin.read()',
    ],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  with program:
    assert program.stdout.readline() == 'ready\n'
    (worker,) = (pid for pid in children(program.pid) if is_running(pid))
    program.send_signal(signal_number)
  deadline = time.monotonic() + 120
  while is_running(worker) and time.monotonic() < deadline:
    time.sleep(0.05)
  assert not is_running(worker)
