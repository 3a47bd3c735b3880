"""TFF's own runtime, with a worker process that always ends with its parent.

TFF executes computations in `worker_binary`, a child process with a gRPC
server.  If TFF itself starts this child and the parent is killed, the child
survives and keeps its memory and its standard output.  Here a launcher starts
the child and asks Linux to kill it when its parent dies; the parent stops the
child at exit.
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
_MAX_MESSAGE_BYTES = 2_000_000_000  # About the limit of gRPC.


class Worker:
  """The worker process and the connection to it."""

  def __init__(self, max_concurrent_calls: int):
    """Starts the worker.

    Args:
      max_concurrent_calls: Maximum number of computations (clients) that run at
        once.

    Raises:
      RuntimeError: If the worker does not answer.
    """
    binary = pathlib.Path(tff.__file__).parent / 'data' / 'worker_binary'
    for _ in range(_TRIES):  # Another process may take the free port first.
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
    raise RuntimeError(
      f'{binary} did not start in {_TRIES} tries; its messages are on standard'
      ' error.'
    )

  def _becomes_ready(self) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while self.is_running and time.monotonic() < deadline:
      if self.stub.is_ready:
        return True
      time.sleep(0.1)
    return False

  @property
  def is_running(self) -> bool:
    """Whether the worker still runs."""
    return self._process.poll() is None

  def stop(self) -> None:
    """Ends the worker; has no effect if the worker has ended."""
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
  # The worker is on this machine, so the connection needs no proxy.
  options.append(('grpc.enable_http_proxy', 0))
  channel = grpc.insecure_channel(f'localhost:{port}', options)
  return tff.framework.RemoteExecutorGrpcStub(channel)


class SharedWorker:
  """One worker that all users share, and that ends with its last user."""

  def __init__(self):
    self._worker: Worker | None = None
    self._users = weakref.WeakSet()
    self._lock = threading.RLock()  # The garbage collector may call `release`.

  def get(self, user: Hashable) -> Worker:
    """Returns the worker; starts it if it does not run.

    The worker runs until every user has been deleted or has released it.
    """
    with self._lock:
      if user not in self._users:
        self._users.add(user)
        weakref.finalize(user, self._stop_if_unused)
      if self._worker is None or not self._worker.is_running:
        self._worker = Worker(os.cpu_count() or 1)
      return self._worker

  def release(self, user: Hashable) -> None:
    """Ends the worker if it has no other user; may be called repeatedly."""
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
    default_num_clients: Number of clients for a computation that takes no
      argument at clients.
  """

  def create_executor(cardinalities):
    if not worker.is_running:  # TFF would wait forever.
      raise RuntimeError(
        "TFF's own runtime ended during a computation. The computation may need"
        ' more memory than is available, or an operation that the runtime does'
        ' not support.'
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
  """Makes TFF execute in a new worker; returns the worker.

  Args:
    max_concurrent_calls: Maximum number of clients that train at once; each
      holds its own copies of the model.  By default the number of cores.

  Raises:
    RuntimeError: If the worker does not answer.
  """
  worker = Worker(max_concurrent_calls or os.cpu_count() or 1)
  tff.framework.set_default_context(create_context(worker))
  return worker
