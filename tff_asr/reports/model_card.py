"""A model's card: data, guarantee, results and limits, for those who use it.

It goes where the model goes, so it has names of folders only, no paths; and no
figure on the clients that the run did not release.
"""

from collections.abc import Iterable, Sequence
import importlib.metadata
import pathlib
import platform
import subprocess
from typing import Any

import tff_asr
from tff_asr.corpora import client_store
from tff_asr.learning import error_statistics
from tff_asr.models import model_folder
from tff_asr.runs import columns, lineage, records

_PACKAGES = (
  *('tensorflow', 'tensorflow-federated'),
  *('tensorflow-privacy', 'dp-accounting'),
)
_SETTINGS = (
  *('model', 'precision', 'sampling', 'cohort_size', 'clipping', 'clip_norm'),
  *('layer_groups', 'layer_bounds', 'noise_multiplier', 'noise_allocation'),
  *('client_epochs', 'client_steps', 'client_learning_rate'),
  *('server_optimizer', 'server_learning_rate', 'seed_clients', 'seed_epochs'),
)
_FEW_SPEAKERS = 100


def provenance(
  train_store: client_store.ClientStore,
  eval_store: client_store.ClientStore,
  seed_ids: Sequence[str],
  population: Sequence[str],
  promises: bool,
) -> dict[str, Any]:
  """What a card says of where a model comes from, for the run's summary.

  Args:
    train_store: Of the clients and the seed speakers.
    eval_store: Of the held-out speakers.
    seed_ids: Speakers of `train_store` that trained a seed model.
    population: Clients of the rounds, if there were any.
    promises: Whether anything is promised to them: then how much they said is
      left out, for no noise would protect it.
  """

  def hours(store, clients):
    return round(sum(store.client_seconds[c] for c in clients) / 3600, 3)

  vocabulary = train_store.vocabulary.to_json()
  found = {
    'train_store': train_store.path.name,
    'population': len(population),
    'seed_speakers': len(seed_ids),
    'seed_hours': hours(train_store, seed_ids),
    'eval_store': eval_store.path.name,
    'eval_speakers': len(eval_store.client_ids),
    'eval_hours': hours(eval_store, eval_store.client_ids),
    'vocabulary': vocabulary.get('alphabet', vocabulary['type']),
    'outputs': train_store.vocabulary.size,
    **software(),
  }
  if not promises:
    found['population_hours'] = hours(train_store, population)
  return found


def software() -> dict[str, Any]:
  """Versions of Python and packages, and revision of this project."""
  return {
    'python': platform.python_version(),
    'packages': {name: importlib.metadata.version(name) for name in _PACKAGES},
    'revision': _revision(),
  }


def card_of(run: records.RunRecord) -> str:
  """Returns the card of a finished run, in Markdown."""
  parts = [
    f'# Model card: {run.name}',
    *_model(run),
    '## Data',
    *_data(run),
    '## Privacy',
    *_privacy(run),
    '## Results',
    *_results(run),
    '## Limits',
    _items(_limits(run)),
    '## Made with',
    *_made_with(run),
  ]
  return '\n\n'.join(parts) + '\n'


def _model(run: records.RunRecord) -> list[str]:
  how = (
    f'by {run.rounds} rounds of federated learning'
    if run.rounds
    else 'centrally, without federated rounds'
  )
  lines = [
    'Recognises speech, by CTC: from log-mel features of audio at 16 kHz to'
    f' characters or word pieces. Trained {how}.'
  ]
  if model_folder.is_complete(run.paths.model):
    config = model_folder.read_config(run.paths.model)
    lines.append(
      _items(
        [
          f'parameters: {sum(run.layers.values()):,} in {len(run.layers)}'
          ' tensors',
          f'encoder: {config.description}',
          f'outputs: {config.vocabulary_size}',
        ]
      )
    )
  return lines


def _data(run: records.RunRecord) -> list[str]:
  facts = run.summary.get('provenance')
  if not facts:
    return ['Not recorded.']
  items = []
  if facts['population']:
    hours = facts.get('population_hours')
    said = (
      f', {hours:.2f} hours'
      if hours is not None
      else '; how much they said is not released'
    )
    items.append(
      f'clients of the rounds: {facts["population"]:,} of the store'
      f' `{facts["train_store"]}`{said}'
    )
  if facts['seed_speakers']:
    items.append(
      f'seed speakers, on whom the first model was trained:'
      f' {facts["seed_speakers"]:,} others of it, {facts["seed_hours"]:.2f}'
      ' hours'
    )
  items.append(
    f'held-out speakers: {facts["eval_speakers"]:,} of the store'
    f' `{facts["eval_store"]}`, {facts["eval_hours"]:.2f} hours'
  )
  items.append(f'vocabulary: `{facts["vocabulary"]}`')
  return [
    _items(items),
    'The record of trainings that went into the model, oldest first'
    ' (`lineage.json`):',
    _items(trainings(run)),
  ]


def trainings(run: records.RunRecord) -> Iterable[str]:
  """Yields the trainings that went into a model, in words, without names."""
  found = [
    (
      'the same store' if t.store in run.clients_store else 'another store',
      t.unprotected,
      t.ledger,
    )
    for t in run.lineage
    if t != lineage.UNKNOWN
  ]
  if lineage.UNKNOWN in run.lineage:
    yield 'unknown: a model that went into it has no record'
  for where, unprotected, ledger in dict.fromkeys(found):  # By each name.
    if ledger:
      yield f'by a private run, on clients of {where}'
    else:
      yield f'without any promise, on {len(unprotected):,} speakers of {where}'
  if not run.lineage:
    yield 'none is recorded'


def _privacy(run: records.RunRecord) -> list[str]:
  if not run.rounds:
    return ['There were no federated rounds: nothing is promised to anybody.']
  first, *others = run.account.statement(run.rounds)
  parts = [f'Epsilon: {first}', *others]
  if run.account.plan:
    parts.append(f'```\n{run.account.plan_text()}\n```')
  return parts


def _results(run: records.RunRecord) -> list[str]:
  found = error_statistics.statistics(run.transcripts)
  groups = {
    'all': found.total,
    f'worst tenth of the speakers ({found.worst_speakers})': found.worst_tenth,
    **{f'utterances of {n} words': r for n, r in found.by_length.items()},
  }
  rows = [
    (name, f'{r.utterances:,}', f'{r.words:,}', f'{r.wer:.1%}', f'{r.cer:.1%}')
    for name, r in groups.items()
  ]
  header = ('', 'utterances', 'words', 'WER', 'CER')
  lines = ['| ' + ' | '.join(row) + ' |' for row in (header, *rows)]
  lines.insert(1, '|---' * len(header) + '|')
  seed = run.summary.get('seed_wer')
  return [
    'On the held-out speakers, greedy decoding, no language model:',
    '\n'.join(lines),
    '```\n' + '\n'.join(error_statistics.in_words(found)) + '\n```',
    *([f'The seed model, before the rounds: WER {seed:.1%}.'] if seed else []),
  ]


def _limits(run: records.RunRecord) -> Iterable[str]:
  speakers = len({t.client_id for t in run.transcripts})
  yield (
    'Evaluated on speakers of one store, in the language and the conditions of'
    ' its corpus. Of others nothing is known.'
  )
  if speakers < _FEW_SPEAKERS:
    yield (
      f'{speakers} held-out speakers are few: see the interval, and the worst'
      ' tenth.'
    )
  plan = run.account.plan
  if run.rounds:
    epsilon = run.account.figures(run.rounds)[columns.EPSILON]
    if epsilon == 'none':
      yield 'The model may give away what its clients said: treat it as'
      ' that.'
    elif not run.account.protects:
      yield (
        f'Epsilon {epsilon:.4g} protects nobody: treat the model as what its'
        ' clients said.'
      )
    if plan and plan.is_guarantee:
      yield (
        'The guarantee does not cover the seed speakers, the held-out speakers,'
        ' other releases from the same clients that the ledger was not told of,'
        ' or the choice of settings by results on them.'
      )
  if run.account.is_unprotected:
    yield 'Figures on the clients were released without noise beside the model.'
  yield 'Not for decisions about people, nor for telling who speaks.'


def _made_with(run: records.RunRecord) -> list[str]:
  facts = run.summary.get('provenance', {})
  items = [
    f'{name} {version}' for name, version in facts.get('packages', {}).items()
  ]
  if facts:
    items.append(f'Python {facts["python"]}')
  if facts.get('revision'):
    items.append(f'tff_asr at revision {facts["revision"]}')
  flags = run.flags_without_paths
  settings = [
    f'`--{name}={flags[name]}`' for name in _SETTINGS if name in flags
  ]
  parts = [_items(items)] if items else []
  return (
    [*parts, 'Settings: ' + ', '.join(settings) + '.'] if settings else parts
  )


def _items(items: Iterable[str]) -> str:
  return '\n'.join(f'* {item}' for item in items)


def _revision() -> str | None:
  """Of the checkout that the source is in, if it is in one."""
  folder = pathlib.Path(tff_asr.__file__).resolve().parent

  def git(*arguments: str) -> str | None:
    try:
      return subprocess.run(
        ['git', '-C', str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
      ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
      return None

  if git('ls-files', '--error-unmatch', '__init__.py') is None:
    return None
  revision = git('rev-parse', 'HEAD')
  changed = git('status', '--porcelain', '--', '.')
  return f'{revision} with changes' if changed else revision
