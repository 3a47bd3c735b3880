"""Speaks the sentences of synthetic speakers in processes with eSpeak NG."""

from collections.abc import Mapping
import contextlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any, BinaryIO, NoReturn, Self

import numpy as np

from tff_asr import child_process

_PROGRAM = pathlib.Path(__file__).with_name('espeak_process.py')
_INTEGER = struct.Struct('<i')


class Synthesiser:
  """A speech synthesiser, for a `with` statement; several threads may share it.

  A synthesiser keeps one process for each thread that speaks at the same time.
  The processes end with the statement, or with this process.
  """

  def __init__(self):
    """Initializes the synthesiser; the first request starts a process."""
    self._idle: list[subprocess.Popen] = []
    self._resources = contextlib.ExitStack()

  def __enter__(self) -> Self:
    self._messages = self._resources.enter_context(tempfile.TemporaryFile())
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    while self._idle:
      _end(self._idle.pop())
    self._resources.close()

  def speak(self, request: Mapping[str, Any]) -> tuple[int, list[np.ndarray]]:
    """Speaks the sentences of one speaker.

    The samples depend on this request alone, not on earlier requests.

    Args:
      request: A request, see `espeak_process.py`.

    Returns:
      The sample rate, and the int16 samples of each text.

    Raises:
      RuntimeError: If eSpeak NG is missing or fails.
    """
    try:
      process = self._idle.pop()
    except IndexError:
      process = self._start()
    try:
      answer = _ask(process, request)
    except (EOFError, BrokenPipeError):
      self._fail(process)
    except BaseException:
      process.kill()
      _end(process)
      raise
    self._idle.append(process)
    return answer

  def _start(self) -> subprocess.Popen:
    return child_process.start(
      [sys.executable, str(_PROGRAM)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._messages,
      env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    )

  def _fail(self, process: subprocess.Popen) -> NoReturn:
    """Raises a `RuntimeError` with the messages of a process that ends."""
    _end(process)
    self._messages.seek(0)
    said = self._messages.read().decode(errors='replace').strip()
    raise RuntimeError(
      'The speech synthesiser failed:'
      f' {said or f"exit status {process.returncode}."}'
    )


def _ask(
  process: subprocess.Popen, request: Mapping[str, Any]
) -> tuple[int, list[np.ndarray]]:
  process.stdin.write(json.dumps(request).encode() + b'\n')
  process.stdin.flush()
  rate, voices = _integer(process.stdout), []
  for _ in request['texts']:
    samples = _bytes(process.stdout, 2 * _integer(process.stdout))
    voices.append(np.frombuffer(samples, '<i2').astype(np.int16))
  return rate, voices


def _integer(stream: BinaryIO) -> int:
  return _INTEGER.unpack(_bytes(stream, _INTEGER.size))[0]


def _bytes(stream: BinaryIO, size: int) -> bytes:
  found = stream.read(size)
  if len(found) < size:
    raise EOFError
  return found


def _end(process: subprocess.Popen) -> None:
  with contextlib.suppress(BrokenPipeError):  # It has ended already.
    process.stdin.close()
  process.stdout.close()
  process.wait()
