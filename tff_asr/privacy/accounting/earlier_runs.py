"""Adds up the releases of several runs on the same clients."""

from collections.abc import Sequence
import pathlib

from tff_asr.privacy.accounting import accountants, ledger, priors


def known(
  paths: Sequence[pathlib.Path], relation: accountants.Relation
) -> priors.Priors:
  """Returns the known releases of earlier runs and of all runs before them.

  Args:
    paths: Ledgers (or run folders) of the earlier runs.
    relation: The neighbouring relation, which all runs must have.

  Raises:
    UserError: If a ledger cannot be read or has another neighbouring relation,
      or if two copies of one ledger were both resumed.
  """
  found = priors.Priors()
  books = [ledger.Ledger.read(path, relation) for path in paths]
  for book in books:
    found.add_all(book.known())
  for book in books:
    found.warn_of_less(book.copy(), book.path)
  return found


def released(
  paths: Sequence[pathlib.Path], relation: accountants.Relation
) -> accountants.Releases:
  """Returns all releases of earlier runs and of all runs before them.

  Args:
    paths: As for `known`.
    relation: As for `known`.

  Raises:
    UserError: As for `known`.
  """
  return known(paths, relation).releases()


def names(paths: Sequence[pathlib.Path]) -> set[str]:
  """Returns the names of the runs' ledgers and of all ledgers before them."""
  return set().union(*(_open(path).known().names for path in paths))


def relation_of(path: pathlib.Path) -> accountants.Relation:
  """Returns the neighbouring relation of a ledger (or run folder)."""
  return _open(path).relation


def _open(path: pathlib.Path) -> ledger.Ledger:
  return ledger.Ledger(ledger.file_of(path))
