"""Ending a program between two rounds when a signal asks for it."""

import contextlib
import os
import signal
from types import TracebackType


class Stopped(KeyboardInterrupt):
  """A signal ended the program, which has saved what it did.

  Attributes:
    signal: Its number.
  """

  def __init__(self, message: str, number: int):
    super().__init__(message)
    self.signal = number


class StopRequest:
  """Notes the first SIGINT or SIGTERM; a second one ends the process at once.

  Used in a `with` statement, in the main thread.
  """

  def __init__(self):
    self.signal: int | None = None
    self._before = {}

  def __enter__(self) -> 'StopRequest':
    for number in (signal.SIGINT, signal.SIGTERM):
      self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    self._restore()

  def is_made(self) -> bool:
    """Whether the program is to end."""
    return self.signal is not None

  def _note(self, number, frame) -> None:
    del frame
    self.signal = number
    self._restore()
    note = (
      f'\n{signal.Signals(number).name}: the round will be finished and saved'
      ' first; the signal again ends it at once.\n'
    )
    # The signal may come in the middle of a write to `sys.stderr`.
    with contextlib.suppress(OSError):
      os.write(2, note.encode())

  def _restore(self) -> None:
    while self._before:
      number, handler = self._before.popitem()
      signal.signal(number, handler)
