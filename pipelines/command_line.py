"""What all commands share: paths, flags for the record, errors in one line."""

from collections.abc import Callable
import logging as formatting
import os
import pathlib
import signal
import sqlite3
import sys

# TensorFlow reads this when it is imported; its start-up notes drown ours.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from absl import (
  app,
  flags,
  logging,
)
import tensorflow as tf

from pipelines import flagfiles
from tff_asr import errors


def path(value: str) -> pathlib.Path:
  """A path as the user meant it: relative to where the command was called."""
  base = os.environ.get('BUILD_WORKING_DIRECTORY', os.getcwd())
  return pathlib.Path(os.path.abspath(os.path.join(base, value)))


def flags_in_force(paths: tuple[str, ...]) -> dict[str, str]:
  """Every flag that has a value, by name, those in `paths` made absolute."""
  return {
    flag.name: _text(flag.value, flag.name in paths)
    for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    if flag.value is not None
  }


def _text(value, is_path: bool) -> str:
  if isinstance(value, list):
    return ','.join(_text(v, is_path) for v in value)
  if is_path and value:
    return str(path(value))
  return str(value).lower() if isinstance(value, bool) else str(value)


def run(main: Callable[..., str], takes_arguments: bool = False) -> None:
  """Parses flags, calls `main` and prints its result, unless it is empty.

  Args:
    main: Returns what is printed.
    takes_arguments: Whether it is given the arguments that are no flags, which
      may stand before and after flags; otherwise there may be none.

  A `UserError`, or one of the file system, ends in one line on standard error
  and exit code 1.
  """

  def call(argv: list[str]) -> None:
    if len(argv) > 1 and not takes_arguments:
      raise app.UsageError(f'Unknown argument {argv[1]!r}.')
    # The time of day on every line would tell how long training took.
    logging.get_absl_handler().setFormatter(
      formatting.Formatter('%(levelname)s: %(message)s')
    )
    # TFF notes every file that it opens; --verbosity=0 shows that.
    if not flags.FLAGS['verbosity'].present:
      logging.set_verbosity(logging.WARNING)
    try:
      result = main(argv[1:]) if takes_arguments else main()
      if result:
        print(result)
    except errors.UserError as error:
      print(f'error: {error}', file=sys.stderr)
      sys.exit(1)
    except OSError as error:  # No permission, no space, a broken disk.
      where = f': {error.filename}' if error.filename else ''
      print(f'error: {error.strerror or error}{where}', file=sys.stderr)
      sys.exit(1)
    except (sqlite3.Error, tf.errors.OpError) as error:
      print(f'error: {str(error).splitlines()[0]}', file=sys.stderr)
      sys.exit(1)
    except KeyboardInterrupt as interrupt:
      print(str(interrupt) or 'Interrupted.', file=sys.stderr)
      sys.exit(128 + getattr(interrupt, 'signal', signal.SIGINT))

  sys.stdout.reconfigure(line_buffering=True)  # In step with progress bars.
  sys.unraisablehook = _without_tff(sys.unraisablehook)
  flags.FLAGS.set_gnu_getopt(takes_arguments)
  try:
    argv = list(flagfiles.expanded(sys.argv, path('.')))
  except errors.UserError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(1)
  app.run(call, argv)


def _without_tff(hook: Callable) -> Callable:
  """Leaves out that TFF's unused context fails to end when Python does."""
  return lambda found: (
    None if 'ServiceManager.__del__' in repr(found.object) else hook(found)
  )
