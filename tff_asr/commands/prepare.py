"""Prepares client stores on the command line: progress bar, plot and table.

`corpora/preparation.py` does the work.
"""

from collections.abc import Iterator, Sequence
import contextlib
import os
import pathlib
import sys
import time

import numpy as np
import tqdm

from tff_asr import errors
from tff_asr.corpora import (
  client_store,
  holdouts,
  preparation,
  store_summary,
  store_writer,
)
from tff_asr.corpora.readers import sources
from tff_asr.corpora.readers.synthetic import synthetic_corpus
from tff_asr.reports import plots
from tff_asr.text import vocabularies

_CACHE_VARIABLE = 'XDG_CACHE_HOME'
_WAIT_SECONDS = 0.5


def prepare(
  corpus: sources.Source,
  output: pathlib.Path,
  config: preparation.StoreConfig,
  holdout: holdouts.Holdout | None = None,
) -> str:
  """Prepares the store of a corpus, and returns a table of its contents.

  Args:
    corpus: The corpus.
    output: Folder of the store; it must not exist.
    config: Settings of the store's contents.
    holdout: Settings for the draw of speakers for a second store.

  Raises:
    UserError: If the corpus or the folder of the store cannot be used.
  """
  return table(_prepare(corpus, output, config, holdout, _plot))


def _plot(summary: store_summary.Summary) -> dict[str, bytes]:
  return {client_store.PLOT: plots.client_minutes(summary.client_seconds / 60)}


def cached_synthetic(config: synthetic_corpus.SyntheticConfig) -> pathlib.Path:
  """Returns a store of synthetic speakers from the user's cache.

  The cache is `tff_asr` in `XDG_CACHE_HOME`, or in `~/.cache`. If it lacks the
  store, this call prepares the store, or waits for a process that does.

  Raises:
    UserError: If the cache cannot be used.
  """
  path = (
    _cache() / 'tff_asr' / f'synthetic-{config.digest}-v{client_store.VERSION}'
  )
  store_config = preparation.StoreConfig(vocabularies.CharacterVocabulary())
  is_waiting = False
  if not path.exists():
    print(
      f'Making {config.clients:,} synthetic speakers, once: later runs find'
      f' them in {path.parent}.',
      flush=True,
    )
  while not path.exists():
    try:
      _prepare(synthetic_corpus.Synthetic(config), path, store_config)
    except errors.UserError as error:
      if path.exists():
        break
      if not isinstance(error, store_writer.InUseError):
        raise
      if not is_waiting:
        is_waiting = True
        print('Another call is preparing the default store: waiting for it.')
      time.sleep(_WAIT_SECONDS)
  return path


def _cache() -> pathlib.Path:
  given = os.environ.get(_CACHE_VARIABLE)
  if given:
    return pathlib.Path(given)
  try:
    return pathlib.Path.home() / '.cache'
  except RuntimeError as error:
    raise errors.UserError(
      'There is no home folder for the default stores: set HOME or'
      f' {_CACHE_VARIABLE}, or give `train_store` and `eval_store`.'
    ) from error


def _prepare(
  corpus, output, config, holdout=None, files=lambda _: {}
) -> list[store_summary.Summary]:
  with contextlib.ExitStack() as stack:
    screen = stack.enter_context(_libraries_muted())
    bar = None

    def progress(done: int, total: int, seconds: float) -> None:
      nonlocal bar
      if bar is None:
        bar = stack.enter_context(
          tqdm.tqdm(
            desc='reading',
            total=total,
            initial=done,
            unit=' utterances',
            file=screen,
            disable=None,  # Shown on a terminal only.
          )
        )
      elapsed = bar.format_dict['elapsed']
      if elapsed:
        bar.set_postfix_str(f'{seconds / elapsed:.0f}x real time', False)
      bar.update(done - bar.n)

    try:
      return preparation.prepare(
        corpus, output, config, holdout, progress, files
      )
    except KeyboardInterrupt as interrupt:
      raise KeyboardInterrupt(
        'Interrupted: to resume, repeat the command.'
      ) from interrupt


@contextlib.contextmanager
def _libraries_muted() -> Iterator:
  """Silences decoders on standard error; yields a file that still writes there.

  Decoders report damaged files, which `skipped.tsv` lists anyway.
  """
  sys.stderr.flush()
  saved = os.dup(2)
  nowhere = os.open(os.devnull, os.O_WRONLY)
  try:
    with os.fdopen(os.dup(saved), 'w') as screen:
      os.dup2(nowhere, 2)
      yield screen
  finally:
    os.dup2(saved, 2)
    os.close(saved)
    os.close(nowhere)


def table(summaries: Sequence[store_summary.Summary]) -> str:
  """Returns tables of the contents of stores."""
  return '\n\n'.join(map(_one_table, summaries))


def _one_table(summary: store_summary.Summary) -> str:
  minutes = summary.client_seconds / 60
  spread = np.quantile(minutes, [0.0, 0.1, 0.5, 0.9, 1.0])
  names = ('least', '10 %', 'median', '90 %', 'most')
  lines = [
    f'store       {summary.path}',
    f'clients     {len(minutes)}',
    f'utterances  {summary.utterances}',
    f'hours       {minutes.sum() / 60:.3f}',
    f'words       {summary.words}',
    'minutes of a client',
    *(
      f'  {name:8}{value:10.2f}'
      for name, value in zip(names, spread, strict=True)
    ),
    f'  {"mean":8}{minutes.mean():10.2f}',
    *(
      [
        f'shared      {summary.shared} utterances with audio that another'
        ' speaker has, too: are speakers mixed up?'
      ]
      if summary.shared
      else []
    ),
    f'skipped     {sum(summary.skipped.values())}',
    *(f'  {n:8d}  {reason}' for reason, n in summary.skipped.items()),
  ]
  if summary.skipped:
    lines.append(f'  listed in {summary.path / client_store.SKIPPED}')
  if why := store_summary.reasons(summary):
    lines.append(f'most of the corpus is left out: {why}')
  return '\n'.join(lines)
