"""Reader of any corpus that a table lists: `client_id`, `path`, `text`."""

from collections.abc import Iterator
import os
import pathlib

from tff_asr.corpora.readers import source, tables
from tff_asr.corpora.utterance import Recording, Skipped


class Manifest(source.Source):
  """A tab-separated table, a line for each utterance.

  Its columns are `client_id`, `path` (relative to the table's folder, or
  absolute; FLAC, WAV, MP3, OGG), `text` and, if wanted, `utterance_id`, which
  otherwise is the path.  Others are ignored.
  """

  def __init__(self, table: pathlib.Path):
    self._table = table
    self.description = str(table)

  def items(self) -> Iterator[source.Item]:
    """Yields every line in the order of the table; see `Source.items`."""
    rows = tables.rows(self._table, ('client_id', 'path', 'text'))
    for number, row in rows:
      if isinstance(row, Skipped):
        yield row
      elif not row['path']:
        yield Skipped(
          row['client_id'], f'{self._table.name}:{number}', 'no path'
        )
      else:
        yield Recording(
          row['client_id'],
          row.get('utterance_id') or os.path.normpath(row['path']),
          self._table.parent / row['path'],
          row['text'],
        )
