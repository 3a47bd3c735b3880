"""Names of client stores, by which models say on whom they were trained.

A name travels with every model, so it is random: a hash of the content would
tell whose data are in it.
"""

from collections.abc import Mapping
import contextlib
import pathlib
import re
import secrets

from tff_asr import checksums, durable, errors

UNNAMED = 'store-unnamed'
"""Stands for a store that has no name and could not be given one."""

KEY = 'name'  # In the store's metadata.
_FILE = 'store_name.txt'  # Beside those of an earlier release.
_FORM = re.compile('store-[0-9a-f]{32}')


def new() -> str:
  """Returns a name that no other store has."""
  return f'store-{secrets.token_hex(16)}'


def read(path: pathlib.Path, metadata: Mapping[str, object]) -> str | None:
  """Returns the name of a store, `None` if it has none yet.

  Args:
    path: The store.
    metadata: Its `store.json`.

  Raises:
    UserError: If the name is damaged.
  """
  name = metadata.get(KEY)
  if name is None and checksums.exists(path / _FILE):
    contents = checksums.read(path / _FILE)
    name = contents.decode(errors='replace').strip()
  if name is not None and not _FORM.fullmatch(str(name)):
    raise errors.UserError(
      f'The name of {path} is damaged, by which models say on whom they were'
      ' trained: restore the store from a copy, or prepare it again.'
    )
  return name


def give(path: pathlib.Path) -> str:
  """Gives a store of an earlier release a name, once for all processes.

  Args:
    path: A store without a name.

  Returns:
    The name, which is on the disk then.

  Raises:
    UserError: If its folder cannot be written.
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
      f'{path} is of an earlier release: it has no name yet, and none can be'
      f' written there ({error.strerror}). Make the folder writable for one'
      ' call, or prepare the store again.'
    ) from error
  return read(path, {})
