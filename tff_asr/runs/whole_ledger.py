"""Checks that a ledger has all rounds that the other files of a run show.

The end of a ledger can be cut off without a trace in the ledger itself.  But
metric rows with an epsilon, checkpoints and the summary show the run's rounds
too.
"""

from collections.abc import Mapping
import pathlib
from typing import Any

from tff_asr import checksums, errors, text_files
from tff_asr.privacy.accounting import ledger
from tff_asr.runs import checkpoints, columns, folders, metrics_file

HEAD = 'ledger_head'
"""Key in a summary: hash of the last ledger line when it was written."""

_CUT = (
  'the ledger was cut short, or belongs to another run. Epsilon cannot be'
  ' computed without the whole ledger. Restore it from a copy.'
)


def check(path: pathlib.Path) -> None:
  """Checks the ledger of a run, if the ledger is in the run's folder.

  Args:
    path: The ledger, or the folder.

  Raises:
    UserError: If the ledger lacks a round that another file shows, or is
      missing, or if a file is damaged.
  """
  file = ledger.file_of(path)
  if file.name != ledger.FILE_NAME:
    return  # A copy by itself has no files beside it to compare.
  paths = folders.RunPaths(file.parent)
  # These are read before the ledger: a running program adds to the ledger
  # first.
  readable = metrics_file.readable(paths.metrics)
  rows = {number for number, row in readable.items() if columns.EPSILON in row}
  saved = [
    (number, entry)
    for number, entry in checkpoints.recorded(paths.checkpoints)
    if entry
  ]
  summary = _summary(paths.summary)
  if _has_epsilon(summary):
    rows |= set(range(1, summary.get('rounds', 0) + 1))
  if not rows and not saved and HEAD not in summary:
    return
  book = ledger.Ledger(file)
  lacking = {
    *(rows - book.rounds),
    *(number for number, entry in saved if not book.has(entry)),
  }
  errors.require(
    not lacking,
    f'The privacy ledger {file} lacks the entry of round'
    f' {min(lacking, default=0)}, although metrics, a summary or a checkpoint'
    f' of that round are beside it: {_CUT}',
  )
  errors.require(
    _counts_all(book, summary),
    f'The privacy ledger {file} counts less than {paths.summary.name} beside'
    f' it: {_CUT}',
  )


def _summary(path: pathlib.Path) -> Mapping[str, Any]:
  return text_files.read_json(path) if checksums.exists(path) else {}


def _has_epsilon(summary: Mapping[str, Any]) -> bool:
  return isinstance(summary.get(columns.EPSILON), float)


def _counts_all(book: ledger.Ledger, summary: Mapping[str, Any]) -> bool:
  """Returns whether a ledger has all releases behind the summary's figures."""
  if HEAD in summary:
    return book.has(summary[HEAD])
  if not _has_epsilon(summary):
    return True
  # An earlier release may have computed slightly different values.
  found = book.epsilons(summary['delta'])
  known = [
    (summary.get(columns.EPSILON_RDP), found.rdp),
    (summary.get(columns.EPSILON_PLD), found.pld),
  ]
  pairs = [pair for pair in known if None not in pair]
  return not pairs or any(now > 0.999 * then for then, now in pairs)
