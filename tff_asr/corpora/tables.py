"""Tab-separated tables with a header, as corpora give their transcripts."""

from collections.abc import Iterator, Sequence
import pathlib

from tff_asr import errors


def rows(
  path: pathlib.Path, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, str] | None]]:
  """Yields the lines of a table by number, from 2, and the fields by column.

  Fields are not quoted; a line with another number of fields than the header
  gives `None`.

  Args:
    path: The table, in UTF-8.
    columns: The columns that it must have.

  Raises:
    UserError: If there is no such file, or it lacks a column.
  """
  try:
    # A text may hold whatever else some programs take for the end of a line.
    with open(
      path, encoding='utf-8-sig', errors='replace', newline='\n'
    ) as file:
      lines = (line.rstrip('\r\n').split('\t') for line in file)
      header = next(lines, [])
      missing = [column for column in columns if column not in header]
      if missing:
        raise errors.UserError(
          f'{path} has no column {", ".join(missing)}: its first line must name'
          f' the columns, parted by tabs; found {header or "nothing"}.'
        )
      for number, fields in enumerate(lines, start=2):
        if len(fields) == len(header):
          yield number, dict(zip(header, fields, strict=True))
        elif any(fields):
          yield number, None
  except OSError as error:
    raise errors.UserError(
      f'{path} cannot be read: {error.strerror}.'
    ) from error
