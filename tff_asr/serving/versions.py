"""Numbered versions of a model, in a folder that servers watch."""

from collections.abc import Callable, Iterator
import contextlib
import fcntl
import pathlib
import re
import shutil
from typing import TextIO

from tff_asr import durable, errors

_ASIDE = 'partial-'  # Servers ignore folders whose name is not a number.
_LOCK = '.lock'
_NUMBER = re.compile('[1-9][0-9]*')


def find(export_dir: pathlib.Path, version: int | None = None) -> pathlib.Path:
  """Returns the folder of a version.

  Args:
    export_dir: Folder of all versions, which the export command writes, or
      folder of a single version.
    version: Number of the version; by default the newest version.

  Raises:
    UserError: If the version does not exist.
  """
  if version is None and (export_dir / 'saved_model.pb').is_file():
    return export_dir
  found = _numbers(export_dir)
  if version is not None and version not in found:
    raise errors.UserError(
      f'There is no version {version} in {export_dir}: the folder has'
      f' {", ".join(map(str, sorted(found))) or "none"}.'
    )
  if version is not None:
    return export_dir / str(version)
  if not found:
    raise errors.UserError(
      f'There is no exported model in {export_dir}: give the `export_dir` of'
      ' the export command.'
    )
  return export_dir / str(max(found))


def add(
  export_dir: pathlib.Path, write: Callable[[pathlib.Path], None]
) -> pathlib.Path:
  """Adds the next version; servers see it only when it is complete.

  Args:
    export_dir: Folder of all versions; created if needed.
    write: Writes a version into an existing folder.

  Returns:
    The folder of the version; its name is the version's number.

  Raises:
    UserError: If `export_dir` cannot be written to.
  """
  try:
    export_dir.mkdir(parents=True, exist_ok=True)
  except FileExistsError as error:
    raise errors.UserError(
      f'{export_dir} is a file: give a folder as `export_dir`.'
    ) from error
  with _locked(export_dir) as lock:
    for left in export_dir.glob(f'{_ASIDE}*'):  # From a call that was killed.
      shutil.rmtree(left)
    last = lock.read().strip() or '0'
    errors.require(
      last.isdecimal(),
      f'{export_dir / _LOCK} is damaged: write into it the number of the last'
      ' version that was ever in use.',
    )
    number = max([*_numbers(export_dir), int(last)]) + 1
    aside = export_dir / f'{_ASIDE}{number}'
    aside.mkdir()
    version = export_dir / str(number)
    try:
      write(aside)
      durable.publish(aside, version)
    except BaseException:
      shutil.rmtree(aside, ignore_errors=True)
      raise
    # A number is never used again: a client may still request the old version.
    lock.seek(0)
    lock.write(f'{number}\n')
  return version


def _numbers(export_dir: pathlib.Path) -> list[int]:
  if not export_dir.is_dir():
    return []
  return [
    int(path.name)
    for path in export_dir.iterdir()
    if _NUMBER.fullmatch(path.name) and path.is_dir()
  ]


@contextlib.contextmanager
def _locked(export_dir: pathlib.Path) -> Iterator[TextIO]:
  """Lets one call at a time add a version.

  Yields:
    The lock file, which has the number of the last version.
  """
  path = export_dir / _LOCK
  path.touch()
  with open(path, 'r+', errors='replace') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield file
