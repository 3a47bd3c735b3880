"""Standard output and error that no reader and no terminal can break.

A reader that goes away (`| head -1`) would raise an error in whatever prints
next, and again when Python ends; a character that the terminal cannot write
would end a command in the middle of its work.
"""

import io
import os
import signal
import sys
from typing import TextIO


class ReaderGoneError(BrokenPipeError):
  """Nobody reads standard output any more."""

  code = 128 + signal.SIGPIPE  # As of a program that the signal ended.


class _Output(io.TextIOWrapper):
  """Text to a descriptor: characters that it cannot take are escaped."""

  def __init__(self, stream: TextIO, goes_on: bool):
    """Takes the place of a stream.

    Args:
      stream: To a descriptor.
      goes_on: Whether text is dropped once its reader is gone; otherwise that
        raises `ReaderGoneError`, once.
    """
    stream.flush()
    self._descriptor = stream.fileno()
    self._goes_on = goes_on
    super().__init__(
      open(self._descriptor, 'wb', closefd=False),  # noqa: SIM115
      encoding=stream.encoding,
      errors='backslashreplace',
      line_buffering=True,  # In step with progress bars.
    )

  def write(self, text: str) -> int:
    try:
      return super().write(text)
    except BrokenPipeError as error:
      self._leave(error)
      return len(text)

  def flush(self) -> None:
    try:
      super().flush()
    except BrokenPipeError as error:
      self._leave(error)

  def _leave(self, error: BrokenPipeError) -> None:
    """Lets all that follows, of what is buffered too, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, self._descriptor)
    os.close(nowhere)
    if not self._goes_on:
      raise ReaderGoneError(*error.args) from error


def harden(outlives_reader: bool) -> None:
  """Puts such streams in the places of standard output and error.

  Args:
    outlives_reader: Whether the command goes on without a reader of its
      output; a reader of its errors none needs.
  """
  if sys.stdout is not None:
    sys.stdout = _Output(sys.stdout, goes_on=outlives_reader)
  if sys.stderr is not None:
    sys.stderr = _Output(sys.stderr, goes_on=True)
