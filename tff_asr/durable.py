"""Files that outlast a power cut, and messages where a disk fails.

No other module syncs, renames or links a file.
"""

from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
import re

from tff_asr import errors

PARTIAL = 'partial.'  # Before the name of a file that is not whole.

# What libraries say of a full disk, HDF5, SQLite and TensorFlow among them.
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
  """Gives the place for a new file, which then replaces the one at `path`.

  Wherever the process is killed, a reader finds the old file or the new one.
  If writing fails, the old file stays and the new one is removed.

  Args:
    path: The file; its folder must exist.
    aside: The place, in the same folder; by default `partial_of(path)`.
    is_synced: Whether the new file is on the disk before it gets its name, and
      its name when this ends. Without, a power cut may leave neither file.

  Yields:
    The place.
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
  """Syncs all of a folder that was written aside, and gives it its name."""
  sync_tree(aside)
  rename(aside, folder)


def rename(path: pathlib.Path, to: pathlib.Path) -> None:
  """Renames what is synced, in its folder; on the disk when this returns."""
  path.rename(to)
  sync(to.parent)


def link(path: pathlib.Path, to: pathlib.Path) -> None:
  """Gives a synced file a second name; on the disk when this returns.

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
  """Brings a file, or the names in a folder, to the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def sync_tree(folder: pathlib.Path) -> None:
  """Brings all that is in a folder to the disk."""
  for path in [*folder.rglob('*'), folder]:
    sync(path)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
  """Says of a full disk where it is, whatever has found it full.

  Args:
    path: What is written within: a file, or a folder.

  Raises:
    OSError: Instead of an error that does not name a file.
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
  """Whether an error says that there is no room."""
  return _number(error) in _NO_ROOM


def in_words(error: Exception) -> str:
  """Returns an error of the file system in a line."""
  number = _number(error)
  where = getattr(error, 'filename', None)
  where = f': {os.fsdecode(where)}' if isinstance(where, str | bytes) else ''
  if number == errno.ENOSPC:
    return f'no space left on device{where}'
  if number is not None:
    return f'{os.strerror(number)}{where}'
  return errors.in_a_line(error)


def _number(error: Exception) -> int | None:
  """The number of an error of the file system, `None` if it is another."""
  number = getattr(error, 'errno', None)
  if isinstance(error, OSError) and number:
    return number
  if _FULL.search(str(error)):
    return errno.ENOSPC
  return errno.EFBIG if _TOO_LARGE.search(str(error)) else None


def partial_of(path: pathlib.Path) -> pathlib.Path:
  """Returns where a file is until it is whole."""
  return path.with_name(f'{PARTIAL}{path.name}')


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file of UTF-8 that is as it was before, or whole.

  Args:
    path: Its folder must exist.
    text: All of it.

  Raises:
    OSError: If it cannot be written; names the file.
  """
  with writing(path), replacing(path) as aside:
    aside.write_text(text, encoding='utf-8')
