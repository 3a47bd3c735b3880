"""Makes client stores: from a folder, or of synthetic speakers."""

from collections.abc import Iterator
import os
import pathlib

import tqdm

from tff_asr import errors
from tff_asr.corpora import librispeech
from tff_asr.corpora import store as store_lib
from tff_asr.corpora import utterance as utterance_lib
from tff_asr.corpora.synthetic import corpus as synthetic

_CACHE_VARIABLE = 'XDG_CACHE_HOME'


def from_librispeech(
  input_dir: pathlib.Path, output: pathlib.Path, max_seconds: float
) -> str:
  """Reads a LibriSpeech-layout folder into a store; returns a table of text.

  Args:
    input_dir: The corpus.
    output: Where the store is to be; must not exist.
    max_seconds: Longer utterances are left out.

  Raises:
    UserError: If there is no corpus, no usable utterance, or a store already.
  """
  total = librispeech.count(input_dir)
  summary = store_lib.write(
    output,
    _counted(librispeech.read(input_dir), 'reading', total),
    source=f'librispeech {input_dir.name}',
    max_seconds=max_seconds,
  )
  return _table(output, summary)


def from_synthetic(
  config: synthetic.SyntheticConfig, output: pathlib.Path
) -> str:
  """Makes a store of synthetic speakers; returns a table of text.

  Raises:
    UserError: If there is a store already.
  """
  return _table(output, _write_synthetic(config, output))


def cached_synthetic(config: synthetic.SyntheticConfig) -> pathlib.Path:
  """Returns a store of synthetic speakers from the user's cache.

  It is made if it is not there: `tff_asr` in `XDG_CACHE_HOME`, or in
  `~/.cache`.
  """
  base = os.environ.get(_CACHE_VARIABLE) or pathlib.Path.home() / '.cache'
  path = pathlib.Path(base) / 'tff_asr' / f'synthetic-{config.digest}'
  if not path.exists():
    print(f'Making {config.clients} synthetic speakers: {path}')
    _write_synthetic(config, path)
  return path


def _write_synthetic(
  config: synthetic.SyntheticConfig, output: pathlib.Path
) -> store_lib.Summary:
  if config.clients < 1:
    raise errors.UserError(f'--clients={config.clients} must be 1 or more.')
  return store_lib.write(
    output,
    _counted(synthetic.read(config), 'speaking'),
    source=f'synthetic, {config.clients} clients, seed {config.seed}',
  )


def _counted(
  utterances: Iterator[utterance_lib.Utterance | utterance_lib.Skipped],
  what: str,
  total: int | None = None,
) -> Iterator[utterance_lib.Utterance | utterance_lib.Skipped]:
  """Passes utterances on with a progress bar, which the first one opens."""
  yield from tqdm.tqdm(utterances, what, total, unit=' utterances')


def _table(output: pathlib.Path, summary: store_lib.Summary) -> str:
  lines = [
    f'clients     {summary.clients}',
    f'utterances  {summary.utterances}',
    f'hours       {summary.seconds / 3600:.3f}',
    f'words       {summary.words}',
    f'skipped     {sum(summary.skipped.values())}',
    *(f'  {n:8d}  {reason}' for reason, n in summary.skipped.items()),
    f'store       {output}',
  ]
  if summary.skipped:
    lines.append(f'what was skipped: {output / "skipped.tsv"}')
  return '\n'.join(lines)
