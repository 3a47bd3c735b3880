"""Check sums of files, in `checksums.txt` of the files' folder.

`checksums.txt` has a line for each file, in the format of `sha256sum`.  Before
a new version of a file gets the file's name, the check sum of the new version
is added under a temporary name; afterwards it replaces the old check sum.  So
one of the two is correct, whenever a process is killed.  A file without a line,
such as a file from an earlier release, is read without a check.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
import contextlib
import fcntl
import hashlib
import os
import pathlib
import threading

from tff_asr import durable, errors

NAME = 'checksums.txt'

_BETWEEN = '  '  # Separates a check sum from a name.
_BLOCK = 1 << 20
_TRIES = 2  # Another process may replace a file while it is read.

_Sums = dict[str, Set[str]]


@contextlib.contextmanager
def replacing(*paths: pathlib.Path) -> Iterator[list[pathlib.Path]]:
  """Replaces files of one folder, in order, with their check sums.

  A reader finds the old or the new version of each file, with its check sum.

  Args:
    *paths: The files.

  Yields:
    For each file a temporary path, at which the caller writes the new version.

  Raises:
    OSError: If a file cannot be written.  The error names the first file if
      the disk is full, else the file that failed.
  """
  asides = [durable.partial_of(path) for path in paths]
  try:
    with durable.writing(paths[0]):
      yield asides
      _replace(paths)
  except OSError:
    for aside in asides:  # They take the room that is lacking.
      with contextlib.suppress(OSError):
        aside.unlink(missing_ok=True)
    raise


def _replace(paths: Sequence[pathlib.Path]) -> None:
  folder = paths[0].parent
  for path in paths:
    durable.sync(durable.partial_of(path))
  new = {path.name: {_sum(durable.partial_of(path))} for path in paths}
  with _locked(folder):
    sums = _listed(folder)
    coming = {durable.PARTIAL + name: digests for name, digests in new.items()}
    both = {n: d | sums.get(n, set()) for n, d in coming.items()}
    _write(folder, sums | both, is_synced=True)
    for path in paths:
      durable.rename(durable.partial_of(path), path)
    rest = {n: d for n, d in sums.items() if n not in coming}
    _write(folder, rest | new)


def write(path: pathlib.Path, contents: str | bytes) -> None:
  """Writes a file and its check sum; a reader finds the old or the new file.

  Args:
    path: The file; its folder must exist.
    contents: The complete contents; text becomes UTF-8.

  Raises:
    OSError: If the file cannot be written; names the file.
  """
  if isinstance(contents, str):
    contents = contents.encode()
  with replacing(path) as (aside,):
    aside.write_bytes(contents)


def remove(path: pathlib.Path) -> None:
  """Removes a file and its check sum, if they exist."""
  with _locked(path.parent):
    sums = _listed(path.parent)
    names = {path.name, durable.partial_of(path).name}
    if names & sums.keys():
      _write(path.parent, {n: d for n, d in sums.items() if n not in names})
    path.unlink(missing_ok=True)


def add(path: pathlib.Path) -> None:
  """Adds the check sum of an existing file that will not change."""
  with _locked(path.parent):
    _write(path.parent, _listed(path.parent) | {path.name: {_sum(path)}})


def write_all(folder: pathlib.Path) -> None:
  """Writes the check sums of all files in a folder and in its subfolders.

  Nobody may read the folder before this function returns.
  """
  files = [p for p in sorted(folder.rglob('*')) if p.is_file()]
  _write(folder, {str(p.relative_to(folder)): {_sum(p)} for p in files})


def exists(path: pathlib.Path) -> bool:
  """Returns whether a file exists.

  Raises:
    UserError: If the file has a check sum but no longer exists.
  """
  if path.is_file():
    return True
  errors.require(
    path.name not in _listed(path.parent), _missing(path, path.parent)
  )
  return False


def read(path: pathlib.Path) -> bytes:
  """Reads a file and checks its check sum.

  Raises:
    OSError: If the file cannot be read.
    UserError: If the file was changed or removed after it was written.
  """
  exists(path)
  for _ in range(_TRIES):
    contents = path.read_bytes()
    digest = hashlib.sha256(contents).hexdigest()
    if _may_be(path.parent, path.name, digest):
      return contents
  raise _changed(path, path.parent)


def check(
  path: pathlib.Path,
  folder: pathlib.Path | None = None,
  stop: threading.Event | None = None,
) -> None:
  """Checks the check sum of a file that other code reads.

  Args:
    path: The file.
    folder: The folder with the check sums; by default the file's folder.
    stop: Once this event is set, the function ends without a check.

  Raises:
    OSError: If the file cannot be read.
    UserError: If the file was changed or removed after it was written.
  """
  folder = folder or path.parent
  name = str(path.relative_to(folder))
  if not path.is_file():
    exists(path)
  for _ in range(_TRIES):
    if name not in _listed(folder) or _may_be(folder, name, _sum(path, stop)):
      return
  if not (stop and stop.is_set()):
    raise _changed(path, folder)


def is_listed(path: pathlib.Path) -> bool:
  """Returns whether a file has a check sum."""
  return path.name in _listed(path.parent)


def check_all(folder: pathlib.Path) -> None:
  """Checks all files that have a check sum in a folder, see `write_all`.

  Raises:
    OSError: If a file cannot be read.
    UserError: If a file was changed or removed after it was written.
  """
  for path in map(folder.joinpath, _listed(folder)):
    errors.require(path.is_file(), _missing(path, folder))
    check(path, folder)


def _may_be(folder: pathlib.Path, name: str, digest: str) -> bool:
  """Returns whether a file may have a check sum; always true without a line."""
  sums = _listed(folder)
  return digest in sums.get(name, {digest}) | sums.get(
    durable.PARTIAL + name, set()
  )


def _missing(path: pathlib.Path, folder: pathlib.Path) -> str:
  return (
    f'{path} is missing, but has a line in {folder / NAME}: restore the file'
    ' from a copy. If you removed the file yourself, delete its line from'
    f' {NAME}.'
  )


def _changed(path: pathlib.Path, folder: pathlib.Path) -> errors.UserError:
  return errors.UserError(
    f'{path} is not as it was written: its check sum differs from its line in'
    f' {folder / NAME}, or {NAME} is damaged. Restore the file from a copy. If'
    f' you changed the file yourself, delete its line from {NAME}.'
  )


def _sum(path: pathlib.Path, stop: threading.Event | None = None) -> str:
  found = hashlib.sha256()
  with open(path, 'rb', buffering=0) as file:
    while block := file.read(_BLOCK):
      found.update(block)
      if stop and stop.is_set():
        break
  return found.hexdigest()


def _listed(folder: pathlib.Path) -> _Sums:
  """Returns the check sums that files of a folder may have, by name."""
  try:
    text = (folder / NAME).read_text(errors='replace')
  except (FileNotFoundError, NotADirectoryError):
    return {}
  found: dict[str, set[str]] = {}
  for line in text.split('\n'):
    digest, between, name = line.partition(_BETWEEN)
    if between:
      found.setdefault(name, set()).add(digest)
  return found


def _write(
  folder: pathlib.Path, sums: Mapping[str, Set[str]], is_synced: bool = False
) -> None:
  """Writes the check sums.

  A check sum that is lost in a power cut does no harm: a file without a line is
  read without a check.
  """
  path = folder / NAME
  lines = [
    f'{digest}{_BETWEEN}{name}\n'
    for name, digests in sorted(sums.items())
    for digest in sorted(digests)
  ]
  with durable.replacing(path, is_synced=is_synced) as aside:
    aside.write_text(''.join(lines))


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
  """Lets only one process at a time change the check sums of a folder."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    with contextlib.suppress(OSError):  # Some file systems have no locks.
      fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
  finally:
    os.close(descriptor)
