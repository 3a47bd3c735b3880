"""Whether a ledger has all that the folder it is in shows.

The end of a ledger can be cut off without a trace in the ledger itself.  Rows
of metrics with an epsilon, and checkpoints, know of the run's rounds as well.
"""

import pathlib

from tff_asr import errors
from tff_asr.privacy import ledger
from tff_asr.programs import checkpoints, metrics_file, run_folder


def check(path: pathlib.Path) -> None:
  """Checks the ledger of a run, if it lies in the run's folder.

  Args:
    path: The ledger, or the folder.

  Raises:
    UserError: If the ledger lacks a round that the folder shows, or there is
      none, or it is damaged.
  """
  file = ledger.file_of(path)
  if file.name != ledger.FILE_NAME:
    return  # A copy by itself: there is nothing to compare with.
  paths = run_folder.RunPaths(file.parent)
  # Before the ledger: a run that is at work adds to the ledger first.
  readable = metrics_file.readable(paths.metrics)
  rows = {number for number, row in readable.items() if 'epsilon' in row}
  saved = [
    (number, entry)
    for number, entry in checkpoints.recorded(paths.checkpoints)
    if entry
  ]
  if not rows and not saved:
    return
  book = ledger.Ledger(file)
  lacking = {
    *(rows - book.rounds),
    *(number for number, entry in saved if not book.has(entry)),
  }
  errors.require(
    not lacking,
    f'The privacy ledger {file} lacks the entry of round'
    f' {min(lacking, default=0)}, of which there are metrics or a checkpoint'
    ' beside it: it was cut short or is of another run. Without it no epsilon'
    ' is true. Restore it from a copy.',
  )
