"""Files that survive a power cut, and messages about full or failing disks.

No other module syncs, renames or links a file.
"""

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


@contextlib.contextmanager
def replacing(
  path: pathlib.Path,
  aside: pathlib.Path | None = None,
  *,
  is_synced: bool = True,
) -> Iterator[pathlib.Path]:
  """Replaces a file, so that a reader finds the old or the new version.

  This holds whenever the process is killed.  If writing fails, the old version
  stays and the new version is removed.

  Args:
    path: The file; its folder must exist.
    aside: Temporary path in the same folder; by default `partial_of(path)`.
    is_synced: Whether the new version is on the disk before it gets its name,
      and its name when this context ends.  If `False`, a power cut may leave
      neither version.

  Yields:
    The temporary path, at which the caller writes the new version.
  """
  aside = aside or partial_of(path)
  try:
    yield aside
    if is_synced:
      sync(aside)
  except Exception:
    with contextlib.suppress(OSError):
      aside.unlink(missing_ok=True)
    raise
  if is_synced:
    rename(aside, path)
  else:
    aside.rename(path)


def publish(aside: pathlib.Path, folder: pathlib.Path) -> None:
  """Syncs a folder at a temporary path, then renames it to its name."""
  sync_tree(aside)
  rename(aside, folder)


def rename(path: pathlib.Path, to: pathlib.Path) -> None:
  """Renames a synced file or folder within its parent folder.

  The new name is on the disk when this function returns.
  """
  path.rename(to)
  sync(to.parent)


def link(path: pathlib.Path, to: pathlib.Path) -> None:
  """Gives a synced file a second name.

  The second name is on the disk when this function returns.

  Raises:
    FileExistsError: If there is such a file.
  """
  os.link(path, to)
  sync(to.parent)


def append(path: pathlib.Path, size: int, text: str) -> None:
  """Writes and syncs text after the first `size` bytes of a file."""
  with writing(path), open(path, 'r+b', buffering=0) as file:
    file.truncate(size)
    file.seek(size)
    data = text.encode()
    while data:
      data = data[file.write(data) :]
    os.fsync(file.fileno())


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
  with writing(path), replacing(path) as aside:
    aside.write_text(text, encoding='utf-8')
