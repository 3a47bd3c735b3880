"""Check sums of files that are read again: `checksums.txt` in their folder.

It has a line for each file, as `sha256sum` writes them.  Before a new content
gets its name, its sum is added under another one, and takes the place of the
old sum afterwards: wherever a process is killed, one of the two is right.  A
file without a line, as of an earlier release, is read as it is.
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

_BETWEEN = '  '  # Between a sum and a name.
_BLOCK = 1 << 20
_TRIES = 2  # Another process may replace a file while it is read.

_Sums = dict[str, Set[str]]


@contextlib.contextmanager
def replacing(*paths: pathlib.Path) -> Iterator[list[pathlib.Path]]:
  """Gives places for new files, which then replace those at `paths`, in order.

  A reader finds the old content of each or the new one, with its check sum.

  Args:
    *paths: Files of one folder.

  Yields:
    The place of each.

  Raises:
    OSError: If they cannot be written; names the first file, or another.
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
  """Writes a file with its check sum; a reader finds the old or the new one.

  Raises:
    OSError: If it cannot be written; names the file.
  """
  if isinstance(contents, str):
    contents = contents.encode()
  with replacing(path) as (aside,):
    aside.write_bytes(contents)


def remove(path: pathlib.Path) -> None:
  """Removes a file, if it is there, and its check sum."""
  with _locked(path.parent):
    sums = _listed(path.parent)
    names = {path.name, durable.partial_of(path).name}
    if names & sums.keys():
      _write(path.parent, {n: d for n, d in sums.items() if n not in names})
    path.unlink(missing_ok=True)


def add(path: pathlib.Path) -> None:
  """Adds the check sum of a file that is there and will not change."""
  with _locked(path.parent):
    _write(path.parent, _listed(path.parent) | {path.name: {_sum(path)}})


def write_all(folder: pathlib.Path) -> None:
  """Writes the check sums of all files in a folder and below it.

  For a folder that nobody reads before it is complete.
  """
  files = [p for p in sorted(folder.rglob('*')) if p.is_file()]
  _write(folder, {str(p.relative_to(folder)): {_sum(p)} for p in files})


def exists(path: pathlib.Path) -> bool:
  """Whether there is a file.

  Raises:
    UserError: If it was written and is not there any more.
  """
  if path.is_file():
    return True
  errors.require(
    path.name not in _listed(path.parent), _missing(path, path.parent)
  )
  return False


def read(path: pathlib.Path) -> bytes:
  """Reads a file.

  Raises:
    OSError: If it cannot be read.
    UserError: If it is not as it was written, or was removed.
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
  """Checks a file that is read by something else.

  Args:
    path: The file.
    folder: The one that has the check sums, by default the file's.
    stop: Once it is set, this ends without a result.

  Raises:
    OSError: If it cannot be read.
    UserError: As `read`.
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
  """Whether a file has a check sum."""
  return path.name in _listed(path.parent)


def check_all(folder: pathlib.Path) -> None:
  """Checks all files that `write_all` has seen.

  Raises:
    OSError: If one cannot be read.
    UserError: If one is not as it was written, or was removed.
  """
  for path in map(folder.joinpath, _listed(folder)):
    errors.require(path.is_file(), _missing(path, folder))
    check(path, folder)


def _may_be(folder: pathlib.Path, name: str, digest: str) -> bool:
  """Whether a file may have a sum; any, if it has no line."""
  sums = _listed(folder)
  return digest in sums.get(name, {digest}) | sums.get(
    durable.PARTIAL + name, set()
  )


def _missing(path: pathlib.Path, folder: pathlib.Path) -> str:
  return (
    f'{path} is missing, which {folder / NAME} has: restore it from a copy; if'
    f' you removed it yourself, take its line out of {NAME}.'
  )


def _changed(path: pathlib.Path, folder: pathlib.Path) -> errors.UserError:
  return errors.UserError(
    f'{path} is not as it was written: its check sum differs from that in'
    f' {folder / NAME}, or that file is damaged. Restore it from a copy; if you'
    f' changed it yourself, take its line out of {NAME}.'
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
  """The sums that files of a folder may have, by name."""
  try:
    text = (folder / NAME).read_text(errors='replace')
  except FileNotFoundError:
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
  """Writes the sums; those that are lost in a power cut are not looked for."""
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
  """Lets one process at a time change the sums of a folder."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    with contextlib.suppress(OSError):  # File systems without locks.
      fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
  finally:
    os.close(descriptor)
