"""Work in threads that one Ctrl-C interrupts, however long the work takes.

Python handles a signal in its main thread, between two Python instructions.  A
main thread that waits for TensorFlow handles no signal.  A thread that runs
TensorFlow stops only if TensorFlow cancels its operations.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
import contextlib
import contextvars
import os
import queue
import threading
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import cancellation, context, execute

_SECONDS_TO_STOP = 5.0


class _Work:
  """Running calls of TensorFlow, which are cancelled together."""

  def __init__(self):
    self._running: set[cancellation.CancellationManager] = set()
    self._is_cancelled = False
    self._lock = threading.Lock()

  @contextlib.contextmanager
  def running(self) -> Iterator[cancellation.CancellationManager]:
    """Yields the cancellation manager of one call.

    TensorFlow cancels the manager if the call fails.
    """
    manager = cancellation.CancellationManager()
    with self._lock:
      self._running.add(manager)
      if self._is_cancelled:
        manager.start_cancel()
    try:
      yield manager
    finally:
      with self._lock:
        self._running.discard(manager)

  def cancel(self) -> None:
    with self._lock:
      self._is_cancelled = True
      for manager in self._running:
        manager.start_cancel()


class _Thread(threading.Thread):
  """A thread that runs one piece of work after the other.

  The thread is a daemon: a program does not wait for it before it exits.
  """

  def __init__(self):
    super().__init__(daemon=True)
    self.work = queue.SimpleQueue()
    self.start()

  def run(self):
    while True:
      self.work.get()()


_work = contextvars.ContextVar('work', default=None)
_idle: list[_Thread] = []
# A forked child process does not have the threads of its parent.
os.register_at_fork(after_in_child=_idle.clear)


def start(function: Callable[..., Any], *arguments: Any) -> futures.Future:
  """Calls a function in another thread, as part of this thread's work."""
  future = futures.Future()
  variables = contextvars.copy_context()

  def call():
    if not future.set_running_or_notify_cancel():
      _idle.append(thread)
      return
    try:
      result = variables.run(function, *arguments)
    except BaseException as error:
      _idle.append(thread)
      future.set_exception(error)
    else:
      _idle.append(thread)
      future.set_result(result)

  try:
    thread = _idle.pop()
  except IndexError:
    thread = _Thread()
  thread.work.put(call)
  return future


def _start_work(function, arguments) -> tuple[_Work, futures.Future]:
  """Starts a function as part of this thread's work, or as new work."""
  variables = contextvars.copy_context()
  work = _work.get() or _Work()
  variables.run(_work.set, work)
  return work, variables.run(start, function, *arguments)


def run(function: Callable[..., Any], *arguments: Any) -> Any:
  """Calls a function in another thread and waits for the result.

  If the caller is interrupted while it waits, TensorFlow's operations in the
  function and in the threads that the function started are cancelled.
  """
  work, future = _start_work(function, arguments)
  try:
    return future.result()
  finally:
    if not future.done():
      work.cancel()
      futures.wait([future], _SECONDS_TO_STOP)


async def run_async(function: Callable[..., Any], *arguments: Any) -> Any:
  """Awaits the result of a function; cancels the function with the task."""
  work, future = _start_work(function, arguments)
  try:
    return await asyncio.wrap_future(future)
  finally:
    if not future.done():
      work.cancel()


def call(
  function: tf.types.experimental.ConcreteFunction,
  arguments: Sequence[tf.Tensor],
  rewrites: tf.compat.v1.ConfigProto | None = None,
) -> list[tf.Tensor]:
  """Calls a function as part of this thread's work, which can be cancelled.

  Args:
    function: A function of TensorFlow without captured tensors.
    arguments: The function's arguments.
    rewrites: Options of TensorFlow's rewriting of the function's graph; by
      default the options of the process.  Only the first call rewrites.
  """
  work = _work.get()
  if work is None:
    return list(function(*arguments) or [])
  tensorflow = context.context()
  options = tensorflow.function_call_options.as_attrs()
  if rewrites is not None:
    options['config_proto'] = rewrites.SerializeToString()
  with work.running() as manager:
    return execute.execute_with_cancellation(
      function.name.decode(),
      num_outputs=len(function.outputs),
      inputs=list(arguments),
      attrs=tuple(part for option in options.items() for part in option),
      ctx=tensorflow,
      cancellation_manager=manager,
    )
