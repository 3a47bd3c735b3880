"""Registers classes and readers of one's own in the tables of the library."""

from collections.abc import MutableMapping
from typing import TypeVar

from tff_asr import errors

_Entry = TypeVar('_Entry')


def add(
  table: MutableMapping[str, _Entry], name: str, entry: _Entry, noun: str
) -> None:
  """Adds an entry to a table; an entry that the table has already may stay.

  Args:
    table: Entries by name.
    name: Name of the entry.
    entry: The entry.
    noun: The word for an entry, for the error.

  Raises:
    UserError: If another entry has the name.
  """
  registered = table.setdefault(name, entry)
  errors.require(
    registered is entry,
    f'There is a {noun} {name!r} already: choose another name.',
  )
