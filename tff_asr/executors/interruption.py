"""Work in threads that one Ctrl-C ends, however long it would take.

Python hears of a signal between two of its own instructions, in its main
thread.  While that is in TensorFlow, nothing is heard; and a thread that is in
TensorFlow must be told there to stop.
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
  """The calls of TensorFlow that are running, which stop together."""

  def __init__(self):
    self._running: set[cancellation.CancellationManager] = set()
    self._is_cancelled = False
    self._lock = threading.Lock()

  @contextlib.contextmanager
  def running(self) -> Iterator[cancellation.CancellationManager]:
    """Has a manager for one call: TensorFlow cancels it if the call fails."""
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
  """A thread that takes one piece of work after the other.

  It is a daemon: a program does not wait for it at its end.
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
os.register_at_fork(after_in_child=_idle.clear)  # A child has no threads.


def start(function: Callable[..., Any], *arguments: Any) -> futures.Future:
  """Calls a function in another thread, as part of the work of this one."""
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


def _started(function, arguments) -> tuple[_Work, futures.Future]:
  """Starts a function as work of its own, or of what this thread is part of."""
  variables = contextvars.copy_context()
  work = _work.get() or _Work()
  variables.run(_work.set, work)
  return work, variables.run(start, function, *arguments)


def run(function: Callable[..., Any], *arguments: Any) -> Any:
  """Calls a function and waits for it, until the caller is interrupted.

  Then what it and the threads that it started do in TensorFlow is cancelled.
  """
  work, future = _started(function, arguments)
  try:
    return future.result()
  finally:
    if not future.done():
      work.cancel()
      futures.wait([future], _SECONDS_TO_STOP)


async def run_async(function: Callable[..., Any], *arguments: Any) -> Any:
  """Calls a function as `run` does, until the task is cancelled."""
  work, future = _started(function, arguments)
  try:
    return await asyncio.wrap_future(future)
  finally:
    if not future.done():
      work.cancel()


def call(
  function: tf.types.experimental.ConcreteFunction,
  arguments: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
  """Calls a function without captures, as part of the work of this thread."""
  work = _work.get()
  if work is None:
    return list(function(*arguments) or [])
  tensorflow = context.context()
  options = tensorflow.function_call_options.as_attrs()
  with work.running() as manager:
    return execute.execute_with_cancellation(
      function.name.decode(),
      num_outputs=len(function.outputs),
      inputs=list(arguments),
      attrs=tuple(part for option in options.items() for part in option),
      ctx=tensorflow,
      cancellation_manager=manager,
    )
