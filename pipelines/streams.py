"""Standard output and error that no reader and no terminal can break.

When a reader has gone (`| head -1`), the next print would raise an error, and
another one when Python ends.  A character that the terminal cannot write would
end a command in the middle of its work.
"""

import io
import os
import signal
import sys
from typing import TextIO


class ReaderGoneError(BrokenPipeError):
  """Nobody reads standard output any more."""

  code = 128 + signal.SIGPIPE  # The exit code after this signal.


class _Output(io.TextIOWrapper):
  """Text for a descriptor, with escapes for characters it cannot take."""

  def __init__(self, stream: TextIO, goes_on: bool):
    """Takes the place of a stream.

    Args:
      stream: To a descriptor.
      goes_on: Whether text is dropped when the reader has gone; otherwise the
        first such text raises `ReaderGoneError`.
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
    """Drops the text in the buffer and all later text."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, self._descriptor)
    os.close(nowhere)
    if not self._goes_on:
      raise ReaderGoneError(*error.args) from error


def harden(outlives_reader: bool) -> None:
  """Replaces standard output and error by streams that no reader breaks.

  Args:
    outlives_reader: Whether the command continues without a reader of its
      output.  Without a reader of its errors every command continues.
  """
  if sys.stdout is not None:
    sys.stdout = _Output(sys.stdout, goes_on=outlives_reader)
  if sys.stderr is not None:
    sys.stderr = _Output(sys.stderr, goes_on=True)
