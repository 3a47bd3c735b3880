"""Registers classes and readers of one's own in the tables of the library."""

from collections.abc import MutableMapping, Sequence
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


def add_class(
  table: MutableMapping[str, type],
  entry: type,
  noun: str,
  words: Sequence[str] = ('name',),
) -> None:
  """Adds a class to a table under one of its words.

  Args:
    table: Classes by name.
    entry: The class.
    noun: The word for an entry, for errors.
    words: Names of the class attributes that must be strings; the first one has
      the name of the entry.

  Raises:
    UserError: If the class lacks a part, or another class has the name.
  """
  missing = [word for word in words if not _is_word(entry, word)]
  missing += sorted(getattr(entry, '__abstractmethods__', ()))
  errors.require(
    not missing,
    f'The {noun} {entry.__name__} lacks {", ".join(missing)}.',
  )
  add(table, getattr(entry, words[0]), entry, noun)


def _is_word(entry: type, name: str) -> bool:
  return isinstance(getattr(entry, name, None), str)
