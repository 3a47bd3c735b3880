"""Parts of every command: paths, recorded flags, errors in one line."""

from collections.abc import Callable, Mapping
import csv
import io
import logging as formatting
import math
import os
import pathlib
import re
import signal
import sqlite3
import sys
import tempfile
import types
from typing import Any, NoReturn

from pipelines import interrupts
from tff_asr import garbage

if interrupts.is_command():  # The imports below take seconds.
  interrupts.end_at_once()
  garbage.pause()

try:
  tempfile.gettempdir()
except OSError:  # TensorFlow needs one as soon as it is imported.
  print(
    'error: There is no folder for temporary files that can be written: make'
    ' room in /tmp, or set TMPDIR to a folder with room.',
    file=sys.stderr,
  )
  sys.exit(1)

# TensorFlow reads this when it is imported; its start-up notes drown ours.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from absl import (
  app,
  flags,
  logging,
)
import tensorflow as tf

from pipelines import flagfiles, setting_names, streams
from tff_asr import durable, errors


def path(value: str) -> pathlib.Path:
  """Returns the absolute path of a path that a user gave.

  Args:
    value: A path; a relative path starts where the command was called, `~` is
      the user's home folder.

  Raises:
    UserError: If it begins with the home folder of an unknown user.
  """
  expanded = os.path.expanduser(value)
  if expanded.startswith('~'):
    raise errors.UserError(
      f'{value}: there is no home folder for {value.split("/")[0]}; write'
      f' ./{value} for a file of that name.'
    )
  base = os.environ.get('BUILD_WORKING_DIRECTORY', os.getcwd())
  return pathlib.Path(os.path.abspath(os.path.join(base, expanded)))


def flags_in_force(
  resolved: Mapping[str, Any], module: types.ModuleType | None = None
) -> dict[str, str]:
  """Returns every flag that has a value as text, by name.

  Args:
    resolved: Values in the place of parsed values, by the name of the flag.
    module: The module whose key flags are returned; by default the program.

  Raises:
    UserError: If a flagfile could not keep a value.
  """
  values = {
    flag.name: flag.value
    for flag in flags.FLAGS.get_key_flags_for_module(module or sys.argv[0])
  }
  found = {
    name: _text(value)
    for name, value in (values | dict(resolved)).items()
    if value is not None
  }
  for name, value in found.items():
    is_text = value.encode(errors='replace').decode() == value
    errors.require(
      is_text and value == value.rstrip() and not re.search(r'[\r\n]', value),
      f'--{name}={value!r} cannot be recorded in a flagfile: it has a line'
      ' break, a blank at its end or bytes that are no UTF-8. Give another'
      ' name.',
    )
  return found


def _text(value) -> str:
  if isinstance(value, list):
    row = io.StringIO()
    csv.writer(row, lineterminator='').writerow(value)
    return row.getvalue()
  return str(value).lower() if isinstance(value, bool) else str(value)


def parse(argv: list[str]) -> list[str]:
  """Parses flags; returns the program and the arguments that are no flags.

  Args:
    argv: The program, and its arguments.

  Raises:
    UserError: If a flag is unknown or missing, or has a bad value.
  """
  try:
    rest = flags.FLAGS(argv)
  except flags.Error as error:
    raise errors.UserError(_flag_error(str(error))) from error
  except SystemExit:  # By `--help`, with the exit code of a failure.
    sys.exit(0)
  for name in flags.FLAGS:
    value = flags.FLAGS[name].value
    for number in value if isinstance(value, list) else [value]:
      errors.require(
        not isinstance(number, float) or math.isfinite(number),
        f'--{name}={number} must be a finite number.',
      )
  return rest


def require_flags_only(argv: list[str]) -> None:
  """Raises a `UserError` if `parse` has returned more than the program."""
  for argument in argv[1:]:
    raise errors.UserError(
      f'Unexpected argument {argument!r}: this command takes flags only, such'
      ' as --name=value.'
    )


def _flag_error(message: str) -> str:
  """Returns absl's error message about a flag in one line, with a hint."""
  missing = re.search(r'Flag --(\w+) must have a value other', message)
  if missing:
    return f'Give --{missing[1]}: {flags.FLAGS[missing[1]].help}'
  message = ' '.join(message.split())
  if re.match(r'flag --\w+=[+-]?\d+,[\d,.]*: (?!may be)', message):
    message += ' (numbers have no commas: write 2000 or 0.5)'
  return message.removeprefix('flag ')


def run(
  main: Callable[..., str],
  takes_arguments: bool = False,
  outlives_reader: bool = False,
) -> None:
  """Parses flags, calls `main` and prints its result, unless it is empty.

  A `UserError`, or an error of the file system, ends the program with one line
  on standard error and exit code 1.  Messages, warnings and the result name
  settings as flags, see `setting_names`.

  Args:
    main: Returns the text to print.
    takes_arguments: Whether `main` takes the arguments that are not flags, from
      anywhere between the flags; otherwise such an argument is an error.
    outlives_reader: Whether the program continues when the reader of its output
      has gone; otherwise it ends quietly, as if by SIGPIPE.
  """

  def call(argv: list[str]) -> None:
    handler = logging.get_absl_handler()
    # The time of day on every line would tell how long training took.
    handler.setFormatter(_Formatter('%(levelname)s: %(message)s'))
    handler.python_handler.setStream(sys.stderr)
    for other in [*formatting.root.handlers]:  # Libraries add one more.
      if other is not handler:
        formatting.root.removeHandler(other)
    # TFF notes every file that it opens; --verbosity=0 shows that.
    if not flags.FLAGS['verbosity'].present:
      logging.set_verbosity(logging.WARNING)
    try:
      if not takes_arguments:
        require_flags_only(argv)
      with interrupts.raised():
        result = main(argv[1:]) if takes_arguments else main()
      if result:
        print(setting_names.translated(result))
    except streams.ReaderGoneError:
      raise
    except KeyboardInterrupt as interrupt:
      print(str(interrupt) or 'Interrupted.', file=sys.stderr)
      sys.exit(128 + getattr(interrupt, 'signal', signal.SIGINT))
    except (errors.UserError, *_FAILURES) as error:
      _end(error)

  garbage.resume()
  interrupts.end_at_once()
  streams.harden(outlives_reader)
  sys.unraisablehook = _without_tff(sys.unraisablehook)
  # Without it absl would read no flag behind a stray argument.
  flags.FLAGS.set_gnu_getopt(True)
  try:
    argv = list(flagfiles.expanded(sys.argv, path('.')))
    app.run(call, argv, flags_parser=parse)
  except errors.UserError as error:
    _end(error)
  except streams.ReaderGoneError as error:
    sys.exit(error.code)


# No permission, no space, a broken disk.
_FAILURES = (OSError, sqlite3.Error, tf.errors.OpError)


def _end(error: Exception) -> NoReturn:
  """Ends the program with one line."""
  text = str(error)
  if isinstance(error, _FAILURES):
    text = durable.in_words(error)
  text = setting_names.translated(text).replace('\n', ' ')
  print(f'error: {text}', file=sys.stderr)
  sys.exit(1)


class _Formatter(formatting.Formatter):
  """A formatter of log records that names settings as flags."""

  def format(self, record: formatting.LogRecord) -> str:
    return setting_names.translated(super().format(record))


def _without_tff(hook: Callable) -> Callable:
  """Drops the error of TFF's unused context, which fails when Python ends."""
  return lambda found: (
    None if 'ServiceManager.__del__' in repr(found.object) else hook(found)
  )
