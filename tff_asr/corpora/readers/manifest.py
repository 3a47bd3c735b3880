"""Reader of corpora that a table lists: `client_id`, `path`, `text`."""

from collections.abc import Iterator
import os
import pathlib

from tff_asr import errors
from tff_asr.corpora.readers import registration, sources, tables
from tff_asr.corpora.utterance import Recording, Skipped


class Manifest(sources.Source):
  """A tab-separated table with a line for each utterance.

  The table has the columns `client_id`, `path` (relative to the folder of the
  table, or absolute; FLAC, WAV, MP3, OGG), `text` and, optionally,
  `utterance_id`; the default id is the path.  Other columns are ignored.
  """

  def __init__(self, table: pathlib.Path):
    self._table = table
    self.description = str(table)

  def items(self) -> Iterator[sources.Item]:
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


def _open(manifest: pathlib.Path | None) -> Manifest:
  if manifest is None:
    raise errors.UserError('Give `manifest`, a table of utterances.')
  return Manifest(manifest)


READER = registration.Reader(
  'any audio files that a table lists.',
  (
    registration.Setting(
      'manifest',
      registration.Kind.PATH,
      '',
      'tab-separated table with the columns client_id, path, text and,'
      ' optionally, utterance_id; relative paths start in the folder of the'
      ' table.',
    ),
  ),
  _open,
)
