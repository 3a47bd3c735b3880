"""Adds up the releases of several runs on the same clients."""

from collections.abc import Sequence
import pathlib

from tff_asr.privacy.accounting import accountants, ledger, priors


def known(
  paths: Sequence[pathlib.Path], relation: accountants.Relation
) -> priors.Priors:
  """Returns what is known of earlier runs, and of those before them.

  Args:
    paths: Their ledgers, or run folders.
    relation: Which populations are neighbours, in all of them.

  Raises:
    UserError: If a ledger cannot be read, or has other neighbours, or two
      copies of one were both gone on with.
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
  """Returns all that earlier runs, and those before them, have released.

  Args:
    paths: As for `known`.
    relation: As for `known`.

  Raises:
    UserError: As `known`.
  """
  return known(paths, relation).releases()


def names(paths: Sequence[pathlib.Path]) -> set[str]:
  """Names of the ledgers of runs, and of those of the runs before them."""
  return set().union(*(_open(path).known().names for path in paths))


def relation_of(path: pathlib.Path) -> accountants.Relation:
  """Which populations are neighbours in the ledger of a run (or its folder)."""
  return _open(path).relation


def _open(path: pathlib.Path) -> ledger.Ledger:
  return ledger.Ledger(ledger.file_of(path))
