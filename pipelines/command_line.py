"""What all commands share: paths, flags for the record, errors in one line."""

from collections.abc import Callable
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
from typing import NoReturn

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

from pipelines import flagfiles, streams
from tff_asr import durable, errors


def path(value: str) -> pathlib.Path:
  """Returns a path as the user meant it: from where the command was called.

  Args:
    value: May be relative, or begin with `~`.

  Raises:
    UserError: If it begins with the home of nobody who is known.
  """
  expanded = os.path.expanduser(value)
  if expanded.startswith('~'):
    raise errors.UserError(
      f'{value}: there is no home folder for {value.split("/")[0]}; write'
      f' ./{value} for a file of that name.'
    )
  base = os.environ.get('BUILD_WORKING_DIRECTORY', os.getcwd())
  return pathlib.Path(os.path.abspath(os.path.join(base, expanded)))


def flags_in_force(module: types.ModuleType | None = None) -> dict[str, str]:
  """Returns every flag that has a value as text, by name.

  Args:
    module: Whose key flags; by default the program's.

  Raises:
    UserError: If a flagfile could not keep a value.
  """
  found = {
    flag.name: _text(flag.value)
    for flag in flags.FLAGS.get_key_flags_for_module(module or sys.argv[0])
    if flag.value is not None
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
  """Parses flags; returns the arguments that are none.

  Args:
    argv: The program, and its arguments.

  Raises:
    UserError: If one is not known, missing, or not of its kind.
  """
  try:
    rest = flags.FLAGS(argv)
  except flags.Error as error:
    raise errors.UserError(_flag_error(str(error))) from error
  for name in flags.FLAGS:
    value = flags.FLAGS[name].value
    for number in value if isinstance(value, list) else [value]:
      errors.require(
        not isinstance(number, float) or math.isfinite(number),
        f'--{name}={number} must be a finite number.',
      )
  return rest


def _flag_error(message: str) -> str:
  """Returns what absl says of a flag in one line, with a hint."""
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

  A `UserError`, or one of the file system, ends in one line on standard error
  and exit code 1.

  Args:
    main: Returns what is printed.
    takes_arguments: Whether it is given the arguments that are no flags, which
      may stand before and after flags; otherwise there may be none.
    outlives_reader: Whether it goes on when nobody reads its output any more;
      otherwise it ends quietly, as if by SIGPIPE.
  """

  def call(argv: list[str]) -> None:
    handler = logging.get_absl_handler()
    # The time of day on every line would tell how long training took.
    handler.setFormatter(formatting.Formatter('%(levelname)s: %(message)s'))
    handler.python_handler.setStream(sys.stderr)
    for other in [*formatting.root.handlers]:  # Libraries add one more.
      if other is not handler:
        formatting.root.removeHandler(other)
    # TFF notes every file that it opens; --verbosity=0 shows that.
    if not flags.FLAGS['verbosity'].present:
      logging.set_verbosity(logging.WARNING)
    try:
      errors.require(
        len(argv) == 1 or takes_arguments,
        f'Unknown argument {argv[-1]!r}: flags begin with --.',
      )
      result = main(argv[1:]) if takes_arguments else main()
      if result:
        print(result)
    except streams.ReaderGoneError:
      raise
    except KeyboardInterrupt as interrupt:
      print(str(interrupt) or 'Interrupted.', file=sys.stderr)
      sys.exit(128 + getattr(interrupt, 'signal', signal.SIGINT))
    except (errors.UserError, *_FAILURES) as error:
      _end(error)

  streams.harden(outlives_reader)
  sys.unraisablehook = _without_tff(sys.unraisablehook)
  flags.FLAGS.set_gnu_getopt(takes_arguments)
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
  print(f'error: {text}'.replace('\n', ' '), file=sys.stderr)
  sys.exit(1)


def _without_tff(hook: Callable) -> Callable:
  """Leaves out that TFF's unused context fails to end when Python does."""
  return lambda found: (
    None if 'ServiceManager.__del__' in repr(found.object) else hook(found)
  )
