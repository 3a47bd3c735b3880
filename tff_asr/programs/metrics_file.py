"""What was released of the rounds: `metrics.csv`."""

import csv
import pathlib

from tff_asr import errors


def read(path: pathlib.Path) -> list[dict[str, float]]:
  """Reads the rows of all rounds.

  Args:
    path: The file, which need not exist.

  Returns:
    Figures by name, `round` among them; those not measured are absent.

  Raises:
    UserError: If a row is damaged.
  """
  rows = []
  try:
    if path.exists():
      for row in csv.DictReader(path.read_text().splitlines()):
        rows.append(
          {name: float(value) for name, value in row.items() if value}
        )
        _ = int(rows[-1]['round'])
  except (
    *(TypeError, ValueError, AttributeError),
    *(LookupError, OverflowError, csv.Error),
  ) as error:
    raise errors.UserError(
      f'{path} is damaged ({error}): restore it from a copy.'
    ) from error
  return rows
