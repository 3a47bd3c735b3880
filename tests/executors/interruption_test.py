"""One Ctrl-C ends a computation that would not end."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.executors import context, interruption

# Says `started` before it computes what does not end, and is interrupted.
PROGRAM = """
import asyncio
import sys
import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from tff_asr.executors import context

local = context.set_local_device_context(['/CPU:0'], 2, allow_native=False)

@tff.tensorflow.computation(np.float32)
def endless(x):
  return tf.while_loop(lambda v: v > 0, lambda v: [v * 1.0], [x])[0]

@tff.tensorflow.computation(np.float32)
def endless_dataset(x):
  elements = tf.data.Dataset.from_tensors(x).repeat()
  return elements.take(tf.where(x > 0, np.int64(-1), np.int64(1))).reduce(
    0.0, lambda _, element: element
  )

@tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
def of_clients(values):
  return tff.federated_sum(tff.federated_map(endless, values))

@tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
def of_datasets(values):
  return tff.federated_sum(tff.federated_map(endless_dataset, values))

@tff.federated_computation(tff.FederatedType(np.float32, tff.SERVER))
def of_server(value):
  return tff.federated_map(endless, value)

run = {
  'clients': lambda x: of_clients([x, x, -1.0]),
  'datasets': lambda x: of_datasets([x, x, -1.0]),
  'server': of_server,
  'local': endless,
  'task': lambda x: asyncio.run(
    context.AsyncLocalDeviceContext(local).invoke(endless, x)
  ),
}[sys.argv[1]]
run(-1.0)
try:
  print('started', flush=True)
  run(1.0)
except KeyboardInterrupt:
  print(float(run(-2.0)), flush=True)  # As if nothing had been.
  raise
"""


@pytest.mark.parametrize(
  ['stage', 'following'],
  [
    ('clients', -5),
    ('datasets', -5),
    ('server', -2),
    ('local', -2),
    ('task', -2),
  ],
)
def test_one_ctrl_c_is_enough(stage, following):
  program = subprocess.Popen(
    [sys.executable, '-c', PROGRAM, stage],
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join(sys.path),
      'TF_CPP_MIN_LOG_LEVEL': '3',
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    assert program.stdout.readline() == 'started\n'
    time.sleep(1.0)  # Without it, the test may pass before TensorFlow is at it.
    program.send_signal(signal.SIGINT)
    out, errors = program.communicate(timeout=120)
  finally:
    program.kill()
  assert out == f'{float(following)}\n', errors
  assert 'KeyboardInterrupt' in errors
  assert program.returncode in (-signal.SIGINT, 128 + signal.SIGINT)


def test_a_client_that_fails_cancels_no_other():
  """Each client's call is cancelled for itself."""
  context.set_local_device_context(
    ['/CPU:0', '/CPU:1'], 2, allow_native=False, max_failed_clients=20
  )

  @tff.tensorflow.computation(np.float32)
  def slowly(x):
    last = tf.while_loop(lambda i: i < 2000.0, lambda i: [i + 1.0], [0.0])[0]
    with tf.control_dependencies([tf.debugging.assert_positive(x), last]):
      return tf.identity(x)

  @tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
  def total(values):
    return tff.federated_sum(tff.federated_map(slowly, values))

  for _ in range(3):
    assert total([-1.0, 1.0] * 20) == 20.0


def test_threads_are_used_again_and_not_waited_for():
  names = {
    interruption.start(threading.current_thread).result() for _ in range(20)
  }
  assert all(thread.daemon for thread in names)
  assert len(names) < 20


def test_what_fails_in_a_thread_fails_in_its_caller():
  def fail():
    raise ZeroDivisionError

  for begin in (interruption.run, lambda f: interruption.start(f).result()):
    with pytest.raises(ZeroDivisionError):
      begin(fail)
