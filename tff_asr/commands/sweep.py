"""Runs and compares every combination of settings, one after the other.

Each run is a separate process, so that a failed run does not end the others.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import itertools
import os
import pathlib
import re
import signal
import subprocess
import sys
from types import FrameType
from typing import NamedTuple

from tff_asr import child_process, errors
from tff_asr.privacy.accounting import accountants
from tff_asr.programs import stopping
from tff_asr.reports import comparison
from tff_asr.runs import columns, folders, records

PAGE = 'compare.html'

# Signals that are forwarded for each signal. SIGHUP becomes SIGTERM, so that
# closing a terminal does not lose a round.
_SIGNALS = {
  signal.SIGINT: signal.SIGINT,
  signal.SIGTERM: signal.SIGTERM,
  signal.SIGHUP: signal.SIGTERM,
}
_VALUES = re.compile(r'-*(\w+)=(.*)')
# Characters that the name of a folder does not keep.
_UNFIT = re.compile(r'[^\w.=+-]+')


class Alternative(NamedTuple):
  """Holds one setting of an axis: its name and its command-line argument."""

  name: str
  argument: str


@dataclasses.dataclass(frozen=True)
class Trial:
  """Holds the settings of one run of a sweep.

  Attributes:
    path: Folder of the run.
    arguments: Arguments of the train command.
    flags: All flags that the run will have in force.
  """

  path: pathlib.Path
  arguments: tuple[str, ...]
  flags: Mapping[str, str]


def axis(text: str, path: Callable[[str], pathlib.Path]) -> list[Alternative]:
  """Returns the settings of an axis.

  Args:
    text: `flag=value,value` or `flagfile,flagfile`.
    path: Resolves a path as the user gives it.

  Raises:
    UserError: If a setting is empty or repeated.
  """
  values = _VALUES.fullmatch(text)
  if values:
    flag = values[1]
    texts = values[2].split(',')
    errors.require(
      not all(re.fullmatch(r'[\d.]+', value) for value in texts)
      or not any(re.match(r'0\d', value) for value in texts),
      f'`grid={text}` has a number that begins with 0: write numbers without'
      ' commas, 2000 or 0.5.',
    )
    found = [
      Alternative(_fit(f'{flag}={value}'), f'--{flag}={value}')
      for value in texts
    ]
    is_empty = '' in texts
  else:
    files = text.split(',')
    found = [
      Alternative(_fit(pathlib.PurePath(f).stem), f'--flagfile={path(f)}')
      for f in files
    ]
    is_empty = '' in files
  errors.require(
    not is_empty and len({a.name for a in found}) == len(found),
    f'`grid={text}` must list different settings, separated by commas:'
    ' `grid=FLAG=VALUE,VALUE` or `grid=FLAGFILE,FLAGFILE`.',
  )
  return found


def combinations(
  axes: Sequence[Sequence[Alternative]],
) -> list[tuple[str, list[str]]]:
  """Returns a name and the arguments of every combination of settings.

  Raises:
    UserError: If two combinations have the same name.
  """
  found = [
    ('_'.join(a.name for a in chosen), [a.argument for a in chosen])
    for chosen in itertools.product(*axes)
  ]
  names = [name for name, _ in found]
  for name in names:
    errors.require(
      names.count(name) == 1,
      f'Two combinations of `grid` have the name {name}: rename a flagfile.',
    )
  return found


def run(
  trials: Sequence[Trial],
  command: Sequence[str],
  folder: pathlib.Path,
  private_details: bool = False,
) -> str:
  """Trains all unfinished runs, and compares all runs in the folder.

  Args:
    trials: The runs.
    command: The program, and its first arguments; the arguments of a run
      follow.
    folder: Folder of the runs and of the page that compares them.
    private_details: Whether to write a second page, with paths.

  Raises:
    Stopped: If a signal stopped the sweep; the current run has ended by then.
    UserError: If runs have failed; the other runs are finished and compared.
  """
  errors.require(
    folder.is_dir() or not folder.exists(),
    f'`output_dir={folder}` is a file: give a folder, which may be new.',
  )
  folder.mkdir(parents=True, exist_ok=True)
  failed = []
  for number, trial in enumerate(trials, 1):
    print(f'[{number}/{len(trials)}] {trial.path.name}: ', end='', flush=True)
    if _is_finished(trial):
      print(f'{_outcome(trial)} (was finished before)')
      continue
    log = folder / f'{trial.path.name}.log'
    begun = log.stat().st_size if log.exists() else 0
    code, stopped_by = _call([*command, *trial.arguments], log)
    if stopped_by:
      print('stopped')
      raise stopping.Stopped(
        f'Stopped in run {number} of {len(trials)}: repeat the command to'
        ' resume.',
        stopped_by,
      )
    if code:
      failed.append(trial.path.name)
    print(f'FAILED: {_last_line(log, begun)}' if code else _outcome(trial))
  runs = [trial.path for trial in trials]
  runs += sorted(path for path in folder.iterdir() if path not in runs)
  runs = [path for path in runs if folders.RunPaths(path).flags.exists()]
  text = ''
  if runs:
    text = comparison.write(runs, folder / PAGE, private_details)
  if failed:
    print(text)
  errors.require(
    not failed,
    f'{len(failed)} of {len(trials)} runs failed, see their .log files in'
    f' {folder}: {", ".join(failed)}.',
  )
  return text


def _fit(name: str) -> str:
  return _UNFIT.sub('-', name).strip('-.')


def _is_finished(trial: Trial) -> bool:
  """Returns whether a run with exactly these flags is finished."""
  paths = folders.RunPaths(trial.path)
  return (
    paths.flags.exists()
    and not folders.changed_flags(folders.read_flags(paths.flags), trial.flags)
    and records.read(trial.path).is_finished
  )


def _outcome(trial: Trial) -> str:
  run = records.read(trial.path)
  found = run.summary
  parts = [f'WER {found[columns.WER]:.1%}']
  if columns.EPSILON in found:
    epsilon = found[columns.EPSILON]
    text = epsilon if epsilon == 'none' else accountants.text(epsilon)
    parts.append(f'epsilon {text}')
  if run.minutes:
    parts.append(f'{run.minutes} minutes')
  return ', '.join(parts)


def _call(
  command: Sequence[str], log: pathlib.Path
) -> tuple[int, signal.Signals | None]:
  """Runs a command; returns its exit code, and the received signal, if any.

  This process forwards signals to the command.  The command has its own process
  group: otherwise Ctrl-C would reach it twice and end it at once.  The command
  dies with this process: otherwise nobody would stop the command, and the next
  call would find the run in use.
  """
  received: list[int] = []
  process = None

  def forward() -> None:
    while process and len(forwarded) < len(received):
      forwarded.append(received[len(forwarded)])
      process.send_signal(_SIGNALS[forwarded[-1]])

  def note(number: int, frame: FrameType | None) -> None:
    del frame
    received.append(number)
    forward()

  forwarded: list[int] = []
  before = {
    number: signal.signal(number, note)
    for number in _SIGNALS
    if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
  }
  try:
    with open(log, 'a') as file:
      # The child is bound to this thread, so start it in the main thread, which
      # lives as long as the program.
      process = subprocess.Popen(
        child_process.bound(command),
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
        process_group=0,
      )
      forward()
      code = process.wait()
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
  return code, signal.Signals(received[0]) if received else None


def _last_line(log: pathlib.Path, begun: int) -> str:
  """Returns the last line that a command wrote, or its last `error:` line.

  Args:
    log: File of the command's output.
    begun: Size of the file before the call, in bytes.
  """
  written = log.read_bytes()[begun:].decode(errors='replace')
  lines = written.strip().splitlines() or ['']
  found = [line for line in lines if line.startswith('error: ')]
  return (found or lines)[-1].removeprefix('error: ')
