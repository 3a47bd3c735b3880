"""Reads and writes `metrics.csv`: a row for each round, appended and synced.

TFF's `CSVFileReleaseManager` reads and rewrites the whole file in every round,
and accepts a row that a power cut left incomplete.  Here, each row ends with a
check sum over the row and the names of the columns.  A row that differs from
the written one is detected, and replaced from the checkpoint of its round.
"""

from collections.abc import Callable, Iterable, Mapping
import csv
import dataclasses
import io
import pathlib
from typing import Any
import zlib

from absl import logging
import numpy as np

from tff_asr import compat, durable, errors
from tff_asr.runs import columns

_CHECK = 'check'

Figures = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class _Table:
  """The readable part of a metrics file.

  Attributes:
    columns: Names of the figures; `None` if the first line is damaged.
    rows: Figures as text, by round; figures that were not measured are absent.
    lacking: Unreadable or missing rounds before the last readable round.
    size: Position at which to append, in bytes; `None` if the file has to be
      rewritten.
  """

  columns: tuple[str, ...] | None
  rows: dict[int, dict[str, str]]
  lacking: tuple[int, ...]
  size: int | None


_UNREADABLE = _Table(None, {}, (), None)


def read(path: pathlib.Path) -> list[dict[str, float]]:
  """Reads the figures of all rounds.

  An incomplete row at the end is left out: a running command may be writing the
  row, and a killed run writes it again when it resumes.

  Args:
    path: The file, which does not need to exist.

  Returns:
    For each round, its figures by name and its number as `round`.  Figures that
    were not measured in a round are absent.

  Raises:
    UserError: If any other row is damaged.
  """
  table = _read(path)
  if table.columns is None or table.lacking:
    raise _damaged(path, table.lacking)
  rows = _figures(table)
  return [
    {columns.ROUND: float(number), **rows[number]} for number in sorted(rows)
  ]


def readable(path: pathlib.Path) -> dict[int, dict[str, float]]:
  """Returns the readable figures by round, also from a damaged file."""
  return _figures(_read(path))


class MetricsFile(compat.ReleaseManager):
  """Appends the figures of each round to the file of a run."""

  def __init__(
    self,
    path: pathlib.Path,
    saved: Callable[[], Mapping[int, Figures]] = dict,
  ):
    """Opens and repairs the file; a missing file is made with the first row.

    Args:
      path: The file; its folder exists.
      saved: Returns the figures in the checkpoints, by round.

    Raises:
      UserError: If a round is neither in the file nor in a checkpoint.
    """
    self._path = path
    self._saved = saved
    self._may_lack = not path.exists()
    table = _read(path)
    self._columns = table.columns or ()
    self.last_round = max(table.rows, default=-1)
    """Last round in the file, or -1 without any."""
    self._size = table.size
    if table.size is None:
      lacking = table.lacking
      if table.columns is None:  # Without column names, no row can be used.
        lacking = range(max(saved(), default=0) + 1)
      self._rewrite({**table.rows, **self._filled(lacking)})

  async def release(self, value: Figures, key: int) -> None:
    """Writes and syncs the row of a round, and deletes the rows after it.

    Args:
      value: Figures of the round, by name.
      key: The round.

    Raises:
      OSError: If the row cannot be written; the earlier rows are unchanged.
      UserError: If an earlier round is neither in the file nor in a checkpoint.
    """
    row = _as_text(value)
    between = self._filled(range(self.last_round + 1, key))
    is_new = set().union(row, *between.values()) - set(self._columns)
    if self._size is None or key <= self.last_round or is_new or between:
      kept = {n: r for n, r in _read(self._path).rows.items() if n < key}
      self._rewrite({**kept, **between, key: row})
      return
    text = _line(self._columns, key, row)
    durable.append(self._path, self._size, text)
    self._size += len(text.encode())
    self.last_round = key

  def _filled(self, lacking: Iterable[int]) -> dict[int, dict[str, str]]:
    """Returns the missing rows of the file, read from the checkpoints."""
    lacking = list(lacking)
    if not lacking:
      return {}
    saved = self._saved()
    found = {n: _as_text(saved[n]) for n in lacking if n in saved}
    if len(found) < len(lacking):
      if not self._may_lack:
        raise _damaged(self._path, sorted(set(lacking) - found.keys()))
      logging.warning(
        '%s is a new file: earlier rounds have no row.', self._path
      )
    else:
      logging.warning(
        '%s was damaged: the figures of %s were restored from checkpoints,'
        ' which have no error rates.',
        self._path,
        _named(lacking),
      )
    return {n: found.get(n, {}) for n in lacking}

  def _rewrite(self, rows: Mapping[int, Mapping[str, str]]) -> None:
    """Writes the whole file under another name, then renames it."""
    numbers = range(max(rows, default=-1) + 1)
    whole = [rows.get(number, {}) for number in numbers]
    names = tuple(
      dict.fromkeys([*self._columns, *(n for row in whole for n in row)])
    )
    lines = [_line(names, n, row) for n, row in enumerate(whole)]
    text = ''.join([_header(names), *lines])
    durable.write_text(self._path, text)
    self._columns, self._size = names, len(text.encode())
    self.last_round = len(numbers) - 1


def _figures(table: _Table) -> dict[int, dict[str, float]]:
  return {
    number: {name: float(value) for name, value in row.items()}
    for number, row in table.rows.items()
  }


def _as_text(figures: Figures) -> dict[str, str]:
  return {name: str(np.asarray(v).item()) for name, v in figures.items()}


def _csv(fields: Iterable[str]) -> str:
  text = io.StringIO()
  csv.writer(text, lineterminator='').writerow(fields)
  return text.getvalue()


def _header(names: Iterable[str]) -> str:
  return _csv([columns.ROUND, *names, _CHECK]) + '\n'


def _line(names: Iterable[str], number: int, row: Mapping[str, str]) -> str:
  body = _csv([str(number), *(row.get(name, '') for name in names)])
  return f'{body},{_check(_header(names), body)}\n'


def _check(header: str, body: str) -> str:
  return f'{zlib.crc32((header + body).encode()):08x}'


def _read(path: pathlib.Path) -> _Table:
  """Reads the readable rows; a missing file has no rows."""
  try:
    data = path.read_bytes()
  except FileNotFoundError:
    return _Table((), {}, (), None)
  first, *others = data.split(b'\n')
  if not others:
    return _UNREADABLE
  torn = others.pop()
  header = _fields(first)
  if not header or header[0] != columns.ROUND or len(set(header)) < len(header):
    return _UNREADABLE
  has_checks = header[-1] == _CHECK
  names = tuple(header[1:-1] if has_checks else header[1:])
  rows, read_lines = {}, 0
  for line in others:
    found = _row(line, names, has_checks)
    if found and found[0] not in rows:
      rows[found[0]] = found[1]
      read_lines += 1
  if not rows:
    is_new = not any(others) and not torn
    return _Table((), {}, (), None) if is_new else _UNREADABLE
  # In earlier releases, a file could start at any round without check sums.
  begin = 0 if has_checks else min(rows)
  lacking = set(range(begin, max(rows))) - rows.keys()
  is_whole = has_checks and not torn and read_lines == len(others)
  size = len(data) if is_whole and not lacking else None
  return _Table(names, rows, tuple(sorted(lacking)), size)


def _fields(line: bytes) -> list[str] | None:
  try:
    (fields,) = csv.reader([line.decode().removesuffix('\r')], strict=True)
  except (ValueError, csv.Error):
    return None
  return fields


def _row(
  line: bytes, names: tuple[str, ...], has_check: bool
) -> tuple[int, dict[str, str]] | None:
  """Returns a round and its figures, or `None` for a damaged row."""
  fields = _fields(line)
  if not fields or len(fields) != 1 + len(names) + has_check:
    return None
  if has_check:
    body, _, check = line.decode().rpartition(',')
    if check != _check(_header(names), body):
      return None
  try:
    row = {k: v for k, v in zip(names, fields[1:], strict=False) if v}
    _ = [float(value) for value in row.values()]
    number = int(fields[0])
  except ValueError:
    return None
  return (number, row) if number >= 0 else None


def _named(numbers: Iterable[int]) -> str:
  shown = list(numbers)
  text = ', '.join(map(str, shown[:5])) + ', ...' * (len(shown) > 5)
  return f'round {text}' if len(shown) == 1 else f'rounds {text}'


def _damaged(path: pathlib.Path, lacking: Iterable[int]) -> errors.UserError:
  lacking = list(lacking)
  what = _named(lacking) if lacking else 'the names of its figures'
  return errors.UserError(
    f'{path} is damaged ({what} cannot be read). Repeat the train command: it'
    ' restores the rows of rounds that have a checkpoint. For other rows,'
    ' restore the file from a copy, or remove the file. Without the file, the'
    ' run resumes without the rows of earlier rounds.'
  )
