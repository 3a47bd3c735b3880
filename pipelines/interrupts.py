"""Ctrl-C (SIGINT) at any moment of a command: one line, and exit code 130.

Python raises `KeyboardInterrupt` in the code that runs.  In imports this shows
a long traceback.  In a callback of the garbage collector, or in `__del__`,
Python drops the error, and the program continues as if nobody had interrupted
it; JAX, which TensorFlow Federated imports, has such a callback.
"""

import _thread
from collections.abc import Callable, Iterator
import contextlib
import os
import pathlib
import signal
import sys
import threading

_NOTE = 'Interrupted.\n'
_AGAIN_SECONDS = 0.05


def end_at_once() -> None:
  """Makes SIGINT end the process at once, unless the process ignores it."""
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)


def is_command() -> bool:
  """Returns whether the program is one of the commands in this folder."""
  main = getattr(sys.modules['__main__'], '__file__', None) or ''
  return pathlib.Path(main).parent.name == pathlib.Path(__file__).parent.name


@contextlib.contextmanager
def raised() -> Iterator[None]:
  """Makes SIGINT raise `KeyboardInterrupt` in a block; never drops the error.

  Before and after the block, SIGINT ends the process at once.
  """
  end_at_once()
  is_ours = signal.getsignal(signal.SIGINT) is _end
  hook = sys.unraisablehook
  sys.unraisablehook = _repeated(hook)
  try:
    if is_ours:
      signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
  finally:
    end_at_once()
    sys.unraisablehook = hook


def _end(number: int, frame: object) -> None:
  del frame
  # The signal may come in the middle of a write to `sys.stderr`.
  with contextlib.suppress(OSError):
    os.write(2, _NOTE.encode())
  os._exit(128 + number)


def _repeated(hook: Callable) -> Callable:
  """Raises a `KeyboardInterrupt` that Python drops again, a moment later."""

  def repeat(dropped) -> None:
    if issubclass(dropped.exc_type, KeyboardInterrupt):
      threading.Timer(_AGAIN_SECONDS, _thread.interrupt_main).start()
    else:
      hook(dropped)

  return repeat
