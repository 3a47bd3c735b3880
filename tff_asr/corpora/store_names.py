"""Names of client stores: models record the stores of their training data.

Every model contains the names, so a name is random: a hash of the content would
reveal the clients in the store.
"""

from collections.abc import Mapping
import contextlib
import pathlib
import re
import secrets

from tff_asr import checksums, durable, errors

UNNAMED = 'store-unnamed'
"""Name of a store that has no name and cannot get one."""

KEY = 'name'  # Key in the store's metadata.
_FILE = 'store_name.txt'  # File in a store of an earlier release.
_FORM = re.compile('store-[0-9a-f]{32}')


def new() -> str:
  """Returns a name that no other store has."""
  return f'store-{secrets.token_hex(16)}'


def read(path: pathlib.Path, metadata: Mapping[str, object]) -> str | None:
  """Returns the name of a store, `None` if it has no name yet.

  Args:
    path: The store.
    metadata: Content of the store's `store.json`.

  Raises:
    UserError: If the name is damaged.
  """
  name = metadata.get(KEY)
  if name is None and checksums.exists(path / _FILE):
    contents = checksums.read(path / _FILE)
    name = contents.decode(errors='replace').strip()
  if name is not None and not _FORM.fullmatch(str(name)):
    raise errors.UserError(
      f'The name of {path} is damaged, which models record: restore the store'
      ' from a copy, or prepare it again.'
    )
  return name


def give(path: pathlib.Path) -> str:
  """Gives a store of an earlier release a name; all processes get the same.

  Args:
    path: A store without a name.

  Returns:
    The name, after it is on the disk.

  Raises:
    UserError: If the folder cannot be written.
  """
  aside = path / f'{_FILE}.{secrets.token_hex(8)}'
  try:
    try:
      with open(aside, 'x') as file:
        file.write(f'{new()}\n')
      durable.sync(aside)
      with contextlib.suppress(FileExistsError):  # Another process was faster.
        durable.link(aside, path / _FILE)
      checksums.add(path / _FILE)
    finally:
      aside.unlink(missing_ok=True)
  except OSError as error:
    raise errors.UserError(
      f'{path} is of an earlier release and has no name yet, and a name cannot'
      f' be written there ({error.strerror}). Make the folder writable for one'
      ' call, or prepare the store again.'
    ) from error
  return read(path, {})
