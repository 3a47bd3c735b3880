"""TFF's own runtime, with a worker process that cannot be left behind.

TFF executes computations in `worker_binary`, a child process that it reaches by
gRPC.  Started by TFF itself, the child outlives a parent that is killed and
keeps its memory and its standard output.  Here it is started by a launcher that
asks Linux to kill it when its parent dies, and is stopped at exit.
"""

import atexit
from collections.abc import Hashable
import os
import pathlib
import subprocess
import sys
import threading
import time
import weakref

import grpc
import portpicker
import tensorflow_federated as tff

from tff_asr import child_process, compat

_START_SECONDS = 60.0
_TRIES = 3
_MAX_MESSAGE_BYTES = 2_000_000_000  # gRPC cannot do more.


class Worker:
  """The worker process and the connection to it."""

  def __init__(self, max_concurrent_calls: int):
    """Starts the worker.

    Args:
      max_concurrent_calls: Most computations (clients) that run at once.

    Raises:
      RuntimeError: If the worker does not answer.
    """
    binary = pathlib.Path(tff.__file__).parent / 'data' / 'worker_binary'
    for _ in range(_TRIES):  # Another process may take a port that was free.
      port = portpicker.pick_unused_port()
      self._process = child_process.start(
        [
          str(binary),
          f'--port={port}',
          f'--max_concurrent_computation_calls={max_concurrent_calls}',
        ],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
      )
      atexit.register(self.stop)
      self.stub = _stub(port)
      if self._becomes_ready():
        return
      self.stop()
    raise RuntimeError(f'{binary} does not start.')

  def _becomes_ready(self) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while self.is_running and time.monotonic() < deadline:
      if self.stub.is_ready:
        return True
      time.sleep(0.1)
    return False

  @property
  def is_running(self) -> bool:
    """Whether the worker has not ended."""
    return self._process.poll() is None

  def stop(self) -> None:
    """Ends the worker; harmless if it has ended."""
    if self.is_running:
      self._process.kill()
    self._process.wait()
    atexit.unregister(self.stop)


def _stub(port: int) -> tff.framework.RemoteExecutorGrpcStub:
  """Returns the connection to a worker at a port of this machine."""
  options = [
    (f'grpc.max_{direction}_message_length', _MAX_MESSAGE_BYTES)
    for direction in ('send', 'receive')
  ]
  options.append(('grpc.enable_http_proxy', 0))  # It is on this machine.
  channel = grpc.insecure_channel(f'localhost:{port}', options)
  return tff.framework.RemoteExecutorGrpcStub(channel)


class SharedWorker:
  """One worker for all that need one, for as long as anybody does."""

  def __init__(self):
    self._worker: Worker | None = None
    self._users = weakref.WeakSet()
    self._lock = threading.RLock()  # The garbage collector may call `release`.

  def get(self, user: Hashable) -> Worker:
    """Returns the worker, which stays until its users are gone or release it.

    If it has ended by itself, it is started again.
    """
    with self._lock:
      if user not in self._users:
        self._users.add(user)
        weakref.finalize(user, self._stop_if_unused)
      if self._worker is None or not self._worker.is_running:
        self._worker = Worker(os.cpu_count() or 1)
      return self._worker

  def release(self, user: Hashable) -> None:
    """Ends the worker if nobody else has it; harmless if repeated."""
    with self._lock:
      self._users.discard(user)
      self._stop_if_unused()

  def _stop_if_unused(self) -> None:
    with self._lock:
      if self._worker and not list(self._users):
        self._worker.stop()
        self._worker = None


shared = SharedWorker()


def create_context(
  worker: Worker, default_num_clients: int = 0
) -> tff.framework.SyncExecutionContext:
  """Returns the context that executes in a worker.

  Secure sums are computed in the clear.

  Args:
    worker: The worker.
    default_num_clients: Clients of a computation that takes nothing of theirs.
  """

  def create_executor(cardinalities):
    if not worker.is_running:  # TFF would wait for it for ever.
      raise RuntimeError(
        "TFF's own runtime has ended while it computed. What it was given may"
        ' need more memory than there is, or what it cannot do.'
      )
    executor = tff.framework.RemoteExecutor(worker.stub)
    executor.set_cardinalities(
      {compat.CLIENTS: default_num_clients, **cardinalities}
    )
    return executor

  def compile_computation(computation):
    return tff.backends.native.desugar_and_transform_to_native(
      tff.backends.test.replace_secure_intrinsics_with_bodies(computation)
    )

  return tff.framework.SyncExecutionContext(
    executor_fn=tff.framework.ResourceManagingExecutorFactory(create_executor),
    compiler_fn=compile_computation,
    transform_args=tff.tensorflow.transform_args,
    transform_result=tff.tensorflow.transform_result,
  )


def set_native_context(max_concurrent_calls: int | None = None) -> Worker:
  """Makes TFF execute in a worker of its own; returns it.

  Args:
    max_concurrent_calls: Most clients that train at once; each holds its own
      copies of the model.  By default the number of cores.
  """
  worker = Worker(max_concurrent_calls or os.cpu_count() or 1)
  tff.framework.set_default_context(create_context(worker))
  return worker
