"""Writes a model's card for its users: data, guarantee, results and limits.

The card is copied with the model. It therefore has names of folders but no
paths, and no figure on the clients that the run did not release.
"""

from collections.abc import Iterable, Sequence
import importlib.metadata
import pathlib
import platform
import subprocess
from typing import Any

import tff_asr
from tff_asr import counts
from tff_asr.corpora import client_store
from tff_asr.learning import error_statistics
from tff_asr.models import model_folder
from tff_asr.runs import columns, lineage, records

_PACKAGES = (
  *('tensorflow', 'tensorflow-federated'),
  *('tensorflow-privacy', 'dp-accounting'),
)
_SETTINGS = (
  *('model', 'precision', 'sampling', 'cohort_size'),
  *('mechanism', 'clipping', 'clip_norm', 'layer_groups'),
  *('layer_bounds', 'noise_multiplier', 'noise_allocation'),
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
  """Returns the provenance of a model, for its card and the run's summary.

  Args:
    train_store: Store of the clients and the seed speakers.
    eval_store: Store of the held-out speakers.
    seed_ids: Speakers of `train_store` whose data trained a seed model.
    population: Clients of the rounds; empty without rounds.
    promises: Whether the clients are promised any privacy. If so, their hours
      of audio are omitted, because no noise would protect this figure.
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
  """Returns versions of Python and packages, and the project's revision."""
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
  training = (
    f'by {counts.text(run.rounds, "round")} of federated learning'
    if run.rounds
    else 'centrally, without federated rounds'
  )
  lines = [
    'Recognises speech by CTC. Input: log-mel features of audio at 16 kHz.'
    f' Output: characters or word pieces. Trained {training}.'
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
    amount = (
      f', {hours:.2f} hours'
      if hours is not None
      else '; the amount of their audio is not released'
    )
    items.append(
      f'clients of the rounds: {facts["population"]:,} of the store'
      f' `{facts["train_store"]}`{amount}'
    )
  if facts['seed_speakers']:
    items.append(
      'seed speakers, who are in no round and whose data trained the first'
      f' model: {facts["seed_speakers"]:,} of the store'
      f' `{facts["train_store"]}`, {facts["seed_hours"]:.2f} hours'
    )
  items.append(
    f'held-out speakers: {facts["eval_speakers"]:,} of the store'
    f' `{facts["eval_store"]}`, {facts["eval_hours"]:.2f} hours'
  )
  items.append(f'vocabulary: `{facts["vocabulary"]}`')
  return [
    _items(items),
    'Recorded trainings that led to this model, oldest first (`lineage.json`):',
    _items(trainings(run)),
  ]


def trainings(run: records.RunRecord) -> Iterable[str]:
  """Yields a description, without names, of each training behind a model."""
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
    yield 'unknown: a model that this model was trained from has no record'
  for where, unprotected, ledger in dict.fromkeys(found):  # Each once.
    if ledger:
      yield f'by a private run, on clients of {where}'
    else:
      speakers = counts.text(len(unprotected), 'speaker')
      yield f'without any guarantee, on {speakers} of {where}'
  if not run.lineage:
    yield 'no training is recorded'


def _privacy(run: records.RunRecord) -> list[str]:
  if not run.rounds:
    return ['There were no federated rounds: nobody has a guarantee.']
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
    'On the held-out speakers, by greedy decoding without a language model:',
    '\n'.join(lines),
    '```\n' + '\n'.join(error_statistics.in_words(found)) + '\n```',
    *([f'The seed model, before the rounds: WER {seed:.1%}.'] if seed else []),
  ]


def _limits(run: records.RunRecord) -> Iterable[str]:
  speakers = len({t.client_id for t in run.transcripts})
  yield (
    'The model was evaluated on the speakers of one store, in the language and'
    ' the recording conditions of its corpus. Nothing is known about its'
    ' accuracy on other speakers, languages or conditions.'
  )
  if speakers < _FEW_SPEAKERS:
    yield (
      f'The {speakers} held-out speakers are few: see the confidence interval,'
      ' and the worst tenth of the speakers.'
    )
  plan = run.account.plan
  if run.rounds:
    epsilon = run.account.figures(run.rounds)[columns.EPSILON]
    if epsilon == 'none':
      yield (
        'The model may reveal the speech of its clients: treat it as you treat'
        ' their recordings.'
      )
    elif not run.account.protects:
      yield (
        f'Epsilon {epsilon:.4g} protects nobody: treat the model as you treat'
        ' the recordings of its clients.'
      )
    if plan and plan.is_guarantee:
      yield (
        'The guarantee does not cover the seed speakers, the held-out speakers,'
        ' other releases from the same clients that the ledger does not record,'
        ' or the choice of settings by results on them.'
      )
  if run.account.is_unprotected:
    yield 'Figures on the clients were released with the model, without noise.'
  yield (
    'Use the model neither for decisions about people nor to identify speakers.'
  )


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
  """Returns the revision of the source's Git checkout, if there is one."""
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
