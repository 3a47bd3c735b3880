"""Stops a program between two rounds after a signal."""

import contextlib
import os
import signal
from types import TracebackType


class Stopped(KeyboardInterrupt):
  """A signal stopped the program; the rounds done are saved.

  Attributes:
    signal: Number of the signal.
  """

  def __init__(self, message: str, number: int):
    super().__init__(message)
    self.signal = number


class StopRequest:
  """Records the first SIGINT or SIGTERM; a second ends the process at once.

  Use it in a `with` statement in the main thread.
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
    """Returns whether a signal has requested a stop."""
    return self.signal is not None

  def _note(self, number, frame) -> None:
    del frame
    self.signal = number
    self._restore()
    note = (
      f'\n{signal.Signals(number).name}: the program stops when the round is'
      ' finished and saved. Send the signal again to stop at once.\n'
    )
    # The signal may come in the middle of a write to `sys.stderr`.
    with contextlib.suppress(OSError):
      os.write(2, note.encode())

  def _restore(self) -> None:
    while self._before:
      number, handler = self._before.popitem()
      signal.signal(number, handler)
