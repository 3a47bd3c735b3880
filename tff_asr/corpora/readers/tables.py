"""Tab-separated tables with a header: the transcripts of several corpora."""

from collections.abc import Iterator, Sequence
import pathlib

from tff_asr import errors
from tff_asr.corpora.utterance import Skipped

_LONGEST_HEADER = 65_536  # Bytes.
_SHOWN = 200  # Characters.
_REPLACED = '\ufffd'


def rows(
  path: pathlib.Path, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, str] | Skipped]]:
  """Yields each line of a table: its number, from 2, and its fields by column.

  Fields are not quoted. Some programs cut off empty fields at the end of a
  line, so a line may be short, if it has a field for each of `columns`. A line
  that cannot be read gives a `Skipped`.

  Args:
    path: The table, in UTF-8.
    columns: Names of the required columns.

  Raises:
    UserError: If the file cannot be read, or if a required column is missing
      or occurs twice.
  """
  try:
    # Read as bytes: a text may contain other characters that Python takes for
    # line ends, and a line that is not UTF-8 must not cost the other lines.
    with open(path, 'rb') as file:
      first = file.readline(_LONGEST_HEADER).decode('utf-8-sig', 'replace')
      header = first.rstrip('\r\n').split('\t')
      missing = [column for column in columns if column not in header]
      if missing:
        raise errors.UserError(
          f'{path} has no column {", ".join(missing)}: write the table in UTF-8'
          ' with the names of the columns in the first line, separated by tabs;'
          f' found {_shown(header)}.'
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


def _shown(header: list[str]) -> str:
  """Returns a header for a message, which a terminal must survive."""
  if not any(header):
    return 'nothing'
  if any(_REPLACED in name for name in header):
    return 'bytes that are not UTF-8'
  text = str(header)
  return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'


def _fields(
  line: bytes, number: int, needed: int
) -> list[str] | tuple[str, str] | None:
  """Returns the fields of a line, or a reason and a detail.

  Args:
    line: The line.
    number: Number of columns.
    needed: Number of fields that a line needs.

  Returns:
    `None` for an empty line.
  """
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
