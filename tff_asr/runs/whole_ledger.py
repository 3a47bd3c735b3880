"""Whether a ledger has all that the folder it is in shows.

The end of a ledger can be cut off without a trace in the ledger itself.  Rows
of metrics with an epsilon, checkpoints and the summary know of the run's rounds
as well.
"""

from collections.abc import Mapping
import pathlib
from typing import Any

from tff_asr import checksums, errors, text_files
from tff_asr.privacy.accounting import ledger
from tff_asr.runs import checkpoints, columns, folders, metrics_file

HEAD = 'ledger_head'
"""Name in a summary: hash of the ledger's last line when it was written."""

_CUT = (
  'it was cut short or is of another run. Without it no epsilon is true.'
  ' Restore it from a copy.'
)


def check(path: pathlib.Path) -> None:
  """Checks the ledger of a run, if it lies in the run's folder.

  Args:
    path: The ledger, or the folder.

  Raises:
    UserError: If the ledger lacks what the folder shows, or there is none, or
      something is damaged.
  """
  file = ledger.file_of(path)
  if file.name != ledger.FILE_NAME:
    return  # A copy by itself: there is nothing to compare with.
  paths = folders.RunPaths(file.parent)
  # Before the ledger: a run that is at work adds to the ledger first.
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
    f' {min(lacking, default=0)}, of which there are metrics, a summary or a'
    f' checkpoint beside it: {_CUT}',
  )
  errors.require(
    _counts_all(book, summary),
    f'The privacy ledger {file} counts less than {paths.summary.name} beside it'
    f' knows of: {_CUT}',
  )


def _summary(path: pathlib.Path) -> Mapping[str, Any]:
  return text_files.read_json(path) if checksums.exists(path) else {}


def _has_epsilon(summary: Mapping[str, Any]) -> bool:
  return isinstance(summary.get(columns.EPSILON), float)


def _counts_all(book: ledger.Ledger, summary: Mapping[str, Any]) -> bool:
  """Whether a ledger has all that the summary's figures came from."""
  if HEAD in summary:
    return book.has(summary[HEAD])
  if not _has_epsilon(summary):
    return True
  # Of an earlier release, which may have computed a little otherwise.
  found = book.epsilons(summary['delta'])
  known = [
    (summary.get(columns.EPSILON_RDP), found.rdp),
    (summary.get(columns.EPSILON_PLD), found.pld),
  ]
  pairs = [pair for pair in known if None not in pair]
  return not pairs or any(now > 0.999 * then for then, now in pairs)
