"""Compares processes that train a cohort in turn.

Each subject of a comparison runs in a separate process, with its own threads
and memory.  Subjects whose times are compared take turns, so that all run
under the same load. A ratio is the median over the turns.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from tff_asr import errors

TURNS = 5
GB = 1e9


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of the table.

  Attributes:
    figure: Name of the figure.
    seen: The measured value.
    target: The range that the value should be in, or nothing.
  """

  figure: str
  seen: str
  target: str = ''


@dataclasses.dataclass(frozen=True)
class Program:
  """A program that trains a cohort on request.

  The program's last argument is a JSON object of `config`, and of `started`,
  the time by `time.time`.  The program trains the cohort once, and again for
  each line of standard input.  Each time the program prints a JSON object with
  `seconds`; the first seconds count from `started`.

  Attributes:
    command: The program and its first arguments.
    config: Configuration of the measurement.
    environment: Environment variables beside the variables of this process.
  """

  command: tuple[str, ...]
  config: Mapping[str, Any]
  environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


def of_module(module: str, config: Any) -> Program:
  """Returns the program of a module that this Python runs.

  Args:
    module: Full name of the module.
    config: Configuration of the measurement, a dataclass.
  """
  return Program(
    (sys.executable, '-m', module),
    dataclasses.asdict(config),
    own_packages(),
  )


def own_packages() -> dict[str, str]:
  """Returns the variable that gives a child process this Python's packages."""
  return {'PYTHONPATH': os.pathsep.join(sys.path)}


class Subject:
  """Controls a process that trains a cohort on request."""

  def __init__(self, program: Program):
    """Starts the process and waits until the cohort is trained once."""
    settings = {'config': program.config, 'started': time.time()}
    self._process = subprocess.Popen(
      [*program.command, json.dumps(settings)],
      env={**os.environ, **program.environment},
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    self._program = program
    try:
      self.first = self._answer()
    except BaseException:
      self.stop()
      raise

  def run(self) -> dict[str, float]:
    """Trains the cohort once more; returns the measurements."""
    with contextlib.suppress(BrokenPipeError):  # The process has ended.
      self._process.stdin.write('\n')
      self._process.stdin.flush()
    return self._answer()

  def stop(self) -> None:
    """Ends the process, which ends its child processes."""
    self._process.kill()
    self._process.wait()
    for stream in self._process.stdin, self._process.stdout:
      with contextlib.suppress(BrokenPipeError):
        stream.close()

  def _answer(self) -> dict[str, float]:
    for line in self._process.stdout:
      if line.startswith('{'):
        return json.loads(line)
    raise errors.UserError(
      f'The process {" ".join(self._program.command)}, which measures'
      f' {dict(self._program.config)}, ended with code {self._process.wait()};'
      ' see its output above. Code -9 most often means a lack of memory.'
    )


@contextlib.contextmanager
def subjects(programs: Mapping[str, Program]) -> Iterator[dict[str, Subject]]:
  """Starts programs one after the other; yields them by name.

  Raises:
    UserError: If a process ends too early.
  """
  started = {}
  try:
    for name, program in programs.items():
      started[name] = Subject(program)
    yield started
  finally:
    for subject in started.values():
      subject.stop()


@contextlib.contextmanager
def subject(program: Program) -> Iterator[Subject]:
  """Starts a program; yields its subject.

  Raises:
    UserError: If the process ends too early.
  """
  with subjects({'': program}) as started:
    yield started['']


def seconds_in_turn(
  running: Mapping[str, Subject], turns: int, rounds: int = 1
) -> dict[str, list[float]]:
  """Returns the seconds of a round of every subject, for each turn.

  Args:
    running: The subjects.
    turns: Number of turns.
    rounds: Number of rounds of a subject in its turn.

  Raises:
    UserError: If a process ends too early.
  """
  seconds = {name: [] for name in running}
  for turn in range(turns + 1):
    for name, subject in running.items():
      elapsed = [subject.run()['seconds'] for _ in range(rounds)]
      if turn:  # The first warms up.
        seconds[name].append(statistics.mean(elapsed))
  return seconds


def ratio(first: Sequence[float], second: Sequence[float]) -> float:
  """Returns the median over the turns of the ratio of two subjects' times."""
  return statistics.median(a / b for a, b in zip(first, second, strict=True))


def ratio_row(
  seconds: Mapping[str, Sequence[float]],
  figure: str,
  names: tuple[str, str],
  target: str = '',
) -> Row:
  """Returns the row of a ratio, with both medians.

  Args:
    seconds: The result of `seconds_in_turn`.
    figure: Name of the figure.
    names: The two subjects.
    target: The range that the ratio should be in.
  """
  first, second = (seconds[name] for name in names)
  medians = f'{statistics.median(first):.2f} s, {statistics.median(second):.2f}'
  return Row(figure, f'{ratio(first, second):.2f} ({medians} s)', target)
