"""Reader of Common Voice releases.

The folder of a language in a release holds `train.tsv`, `dev.tsv`, `test.tsv`
(the official splits) and `clips`.  A `client_id` is a client.
"""

from collections.abc import Iterator, Sequence
import pathlib

from tff_asr import errors
from tff_asr.corpora.readers import registration, sources, tables
from tff_asr.corpora.utterance import Recording, Skipped


class CommonVoice(sources.Source):
  """Splits of one language in a Common Voice release."""

  def __init__(self, folder: pathlib.Path, splits: Sequence[str]):
    self._folder = folder
    self._splits = splits
    self.description = f'{folder} ({", ".join(splits)})'

  def items(self) -> Iterator[sources.Item]:
    """Yields every clip in the order of the tables; see `Source.items`."""
    if not (self._folder / 'clips').is_dir():
      raise errors.UserError(
        f'{self._folder} has no folder clips: give in `input_dir` the folder'
        ' of one language in a Common Voice release, such as'
        ' cv-corpus-13.0-2023-03-09/en.'
      )
    if not self._splits:
      raise errors.UserError('Give `splits`, for instance train.')
    for split in self._splits:
      yield from self._split(split)

  def _split(self, split: str) -> Iterator[sources.Item]:
    table = self._folder / f'{split}.tsv'
    rows = tables.rows(table, ('client_id', 'path', 'sentence'))
    for _, row in rows:
      if isinstance(row, Skipped):
        yield row
        continue
      name = row['path']
      # The first releases leave the suffix out.
      path = name if pathlib.PurePath(name).suffix else f'{name}.mp3'
      yield Recording(
        row['client_id'],
        pathlib.PurePath(path).stem,
        self._folder / 'clips' / path,
        row['sentence'],
      )


def _open(
  input_dir: Sequence[pathlib.Path], splits: Sequence[str]
) -> CommonVoice:
  if not input_dir:
    raise errors.UserError('Give `input_dir`, the folder of the corpus.')
  if len(input_dir) > 1:
    raise errors.UserError(
      f'Common Voice has one folder for each language, and `input_dir` has'
      f' {len(input_dir)}: give one.'
    )
  return CommonVoice(input_dir[0], splits)


READER = registration.Reader(
  'a Common Voice release.',
  (
    registration.Setting(
      'input_dir',
      registration.Kind.PATHS,
      (),
      'folder of one language in a release.',
    ),
    registration.Setting(
      'splits',
      registration.Kind.NAMES,
      ('train',),
      'official splits, separated by commas: train, dev, test.',
    ),
  ),
  _open,
)
