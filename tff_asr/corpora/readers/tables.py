"""Tab-separated tables with a header, as corpora give their transcripts."""

from collections.abc import Iterator, Sequence
import pathlib

from tff_asr import errors
from tff_asr.corpora.utterance import Skipped


def rows(
  path: pathlib.Path, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, str] | Skipped]]:
  """Yields the lines of a table by number, from 2, and the fields by column.

  Fields are not quoted. A line may lack empty fields at its end, which some
  programs cut off; it must have those of `columns`. A line that cannot be read
  gives a `Skipped`.

  Args:
    path: The table, in UTF-8.
    columns: The columns that it must have.

  Raises:
    UserError: If there is no such file, or it lacks a column or has two.
  """
  try:
    # Lines of bytes: a text may hold whatever else some programs take for the
    # end of a line, and a line that is not UTF-8 costs itself alone.
    with open(path, 'rb') as file:
      header = (
        file.readline()
        .decode('utf-8-sig', 'replace')
        .rstrip('\r\n')
        .split('\t')
      )
      missing = [column for column in columns if column not in header]
      if missing:
        raise errors.UserError(
          f'{path} has no column {", ".join(missing)}: it must be UTF-8, and'
          ' its first line must name the columns, parted by tabs; found'
          f' {header if any(header) else "nothing"}.'
        )
      twice = [c for c in columns if header.count(c) > 1]
      errors.require(
        not twice, f'{path} has two columns {", ".join(twice)}: remove one.'
      )
      needed = 1 + max(map(header.index, columns))
      for number, line in enumerate(file, start=2):
        fields = _fields(line, len(header), needed)
        if isinstance(fields, list):
          yield number, dict(zip(header, fields, strict=True))
        elif fields:
          yield number, Skipped('', f'{path.name}:{number}', *fields)
  except OSError as error:
    raise errors.UserError(
      f'{path} cannot be read: {error.strerror}.'
    ) from error


def _fields(
  line: bytes, number: int, needed: int
) -> list[str] | tuple[str, str] | None:
  """The fields of a line, or why it has none; `None` for an empty line."""
  try:
    text = line.decode()
  except UnicodeDecodeError as error:
    return 'not UTF-8', f'byte {error.start + 1} of the line'
  fields = text.rstrip('\r\n').split('\t')
  if not any(fields):
    return None
  is_cut = len(fields) < number and not line.endswith(b'\n')
  if is_cut or not needed <= len(fields) <= number:
    found = f'{len(fields)} fields of {number}'
    return 'broken line', f'{found}, cut off' if is_cut else found
  return fields + [''] * (number - len(fields))
