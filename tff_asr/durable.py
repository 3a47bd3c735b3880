"""Files that survive a power cut, and messages about full or failing disks."""

from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
import re

from tff_asr import errors

PARTIAL = 'partial.'  # Prefix of the name of an incomplete file.

# Messages of libraries (HDF5, SQLite, TensorFlow and others) about a full disk.
_FULL = re.compile(r'no space left|disk is full|errno = 28\b', re.IGNORECASE)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TOO_LARGE = re.compile(r'file too large|errno = 27\b', re.IGNORECASE)


def sync(path: pathlib.Path) -> None:
  """Flushes a file, or the names in a folder, to the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def sync_tree(folder: pathlib.Path) -> None:
  """Flushes a folder and all its contents to the disk."""
  for path in [*folder.rglob('*'), folder]:
    sync(path)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
  """Adds the path to errors about a full disk that this block raises.

  Args:
    path: The file or folder that the block writes.

  Raises:
    OSError: Replaces any error about a full disk that names no file.
  """
  try:
    yield
  except errors.UserError:
    raise
  except Exception as error:
    number = _number(error)
    is_named = isinstance(error, OSError) and error.filename
    if not is_full(error) or is_named:
      raise
    raise OSError(number, os.strerror(number), str(path)) from error


def is_full(error: Exception) -> bool:
  """Returns whether an error reports a full disk, quota or file size limit."""
  return _number(error) in _NO_ROOM


def in_words(error: Exception) -> str:
  """Returns the one-line message of an error of the file system."""
  number = _number(error)
  where = getattr(error, 'filename', None)
  where = f': {os.fsdecode(where)}' if isinstance(where, str | bytes) else ''
  if number == errno.ENOSPC:
    return f'no space left on device{where}'
  if number is not None:
    return f'{os.strerror(number)}{where}'
  return errors.in_a_line(error)


def _number(error: Exception) -> int | None:
  """Returns the number of an error of the file system, `None` for others."""
  number = getattr(error, 'errno', None)
  if isinstance(error, OSError) and number:
    return number
  if _FULL.search(str(error)):
    return errno.ENOSPC
  return errno.EFBIG if _TOO_LARGE.search(str(error)) else None


def partial_of(path: pathlib.Path) -> pathlib.Path:
  """Returns the path of a file while it is incomplete."""
  return path.with_name(f'{PARTIAL}{path.name}')


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file in UTF-8; after a failure the file is as it was before.

  Args:
    path: The file; its folder must exist.
    text: The complete contents.

  Raises:
    OSError: If the file cannot be written; names the file.
  """
  aside = partial_of(path)
  try:
    with writing(path), open(aside, 'w', encoding='utf-8') as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
  except OSError:
    with contextlib.suppress(OSError):
      aside.unlink(missing_ok=True)
    raise
  aside.replace(path)
