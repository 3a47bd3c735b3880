"""Flagfiles that include other flagfiles, by paths from their own folder.

absl starts such paths at the working directory, which `bazel run` changes, and
accepts a flagfile that includes itself.
"""

from collections.abc import Iterator, Sequence
import os
import pathlib

from tff_asr import checksums, errors

_COMMENTS = ('#', '//')


def expanded(arguments: Sequence[str], folder: pathlib.Path) -> Iterator[str]:
  """Yields arguments, with the lines of a flagfile in place of `--flagfile`.

  A later flag has precedence over an earlier flag, as everywhere.

  Args:
    arguments: The arguments of a command.
    folder: The folder where the paths of flagfiles start.

  Raises:
    UserError: If a flagfile is missing or cannot be read, or includes itself.
  """
  yield from _expanded(list(arguments), folder, ())


def _expanded(
  arguments: list[str], folder: pathlib.Path, parents: tuple[pathlib.Path, ...]
) -> Iterator[str]:
  while arguments:
    argument = arguments.pop(0)
    if argument == '--':  # What follows is no flag.
      yield argument
      yield from arguments
      return
    name, equals, value = argument.partition('=')
    if name not in ('--flagfile', '-flagfile'):
      yield argument
      continue
    if not equals:
      errors.require(
        bool(arguments), '--flagfile without a path: give --flagfile=FILE.'
      )
      value = arguments.pop(0)
    path = pathlib.Path(
      os.path.abspath(folder / pathlib.Path(value.strip()).expanduser())
    )
    yield from _expanded(_lines(path, parents), path.parent, (*parents, path))


def _lines(path: pathlib.Path, parents: tuple[pathlib.Path, ...]) -> list[str]:
  """Returns the flags in a file that the last of `parents` includes."""
  included = f', which {parents[-1]} includes,' if parents else ''
  errors.require(
    path not in parents,
    f'The flagfile {path}{included} includes that one as well: take one of them'
    ' out.',
  )
  try:
    # Editors of some systems put a byte order mark first.
    text = checksums.read(path).decode('utf-8-sig')
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, 'strerror', None) or 'it is no text'
    raise errors.UserError(
      f'The flagfile {path}{included} cannot be read: {reason}.'
    ) from error
  # Not by `splitlines`: a value may have what that takes for a line's end.
  lines = [line.strip() for line in text.split('\n')]
  return [line for line in lines if line and not line.startswith(_COMMENTS)]
