"""Reads the record of a finished or unfinished run from its folder."""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import pathlib
from typing import Any

from tff_asr import checksums, errors, text_files
from tff_asr.learning import evaluation
from tff_asr.models import model_folder
from tff_asr.privacy import recorded_plan
from tff_asr.privacy.accounting import ledger
from tff_asr.runs import (
  accounts,
  columns,
  folders,
  lineage,
  metrics_file,
  transcripts,
  whole_ledger,
)


@dataclasses.dataclass(frozen=True)
class RunRecord:
  """The record of a run, read from its folder.

  Attributes:
    paths: Paths of the files of the run.
    flags: Flags of the run, as text, by name.
    stores: Content hashes of the stores, by use.
    rows: Metrics by round; metrics that were not measured are absent.
    summary: Final figures, empty if the run is not finished.
    transcripts: Transcripts of the final evaluation, empty without one.
    account: The guarantee of the run.
    store_names: Names of the store of the clients.
  """

  paths: folders.RunPaths
  flags: Mapping[str, str]
  stores: Mapping[str, str]
  rows: Sequence[Mapping[str, float]]
  summary: Mapping[str, Any]
  transcripts: Sequence[evaluation.Transcript]
  account: accounts.Account
  store_names: tuple[str, ...] = ()

  @property
  def clients_store(self) -> frozenset[str]:
    """The names of the client store in lineages, with its content hash."""
    return frozenset([self.stores.get('train', ''), *self.store_names])

  @property
  def name(self) -> str:
    """Name of the run's folder."""
    return self.paths.path.name

  @property
  def is_finished(self) -> bool:
    """Whether the last command of the run finished."""
    return bool(self.summary)

  @property
  def rounds(self) -> int:
    """Number of rounds done."""
    return _last_round(self.rows)

  @property
  def minutes(self) -> str:
    """Minutes that the last command took, empty if they may not be released."""
    names = columns.both(columns.MINUTES)
    known = [self.summary[name] for name in names if name in self.summary]
    mark = ' UNPROTECTED' if self.account.is_unprotected else ''
    return f'{known[0]:.1f}{mark}' if known else ''

  @property
  def flags_without_paths(self) -> dict[str, str]:
    """The flags of the run, with only the last part of every path."""
    return {name: _without_paths(value) for name, value in self.flags.items()}

  @property
  def planned_rounds(self) -> int:
    """The larger of the requested and the completed number of rounds."""
    return _planned_rounds(self.flags, self.rows)

  @property
  def evaluated(self) -> list[Mapping[str, float]]:
    """The rows with error rates."""
    return [row for row in self.rows if columns.WER in row]

  @property
  def seed_wer(self) -> float | None:
    """WER of the seed model, or `None` if it was not measured."""
    first = self.evaluated[0] if self.evaluated else {}
    first = first[columns.WER] if first.get(columns.ROUND) == 0 else None
    return self.summary.get('seed_wer', first)

  @property
  def budget(self) -> float | None:
    """The largest epsilon that the run may reach, or `None` for no limit."""
    limits = [self.number(name) for name in ('max_epsilon', 'target_epsilon')]
    return min(filter(None, limits), default=None)

  @functools.cached_property
  def layers(self) -> dict[str, int]:
    """Sizes of the model's layers by name, empty without a model."""
    for folder in self.paths.model, self.paths.seed_model:
      if model_folder.is_complete(folder):
        return model_folder.read_config(folder).layer_sizes()
    return {}

  @functools.cached_property
  def lineage(self) -> lineage.Lineage:
    """The record of the trainings of the model so far."""
    return lineage.read(self.paths.model) or lineage.read(self.paths.seed_model)

  def number(self, flag: str) -> float | None:
    """Returns the value of a flag, `None` if it is missing or not a number."""
    return _number(self.flags, flag)


def read(path: pathlib.Path) -> RunRecord:
  """Reads the record of a run from its folder.

  Raises:
    UserError: If the folder contains no run, or a file in it is damaged.
  """
  paths = folders.RunPaths(path)
  if not paths.flags.is_file():
    raise errors.UserError(
      f'There is no run in {path} (no {paths.flags.name}): give the'
      ' folder that the train command wrote.'
    )
  flags = folders.read_flags(paths.flags)
  rows = metrics_file.read(paths.metrics)
  stores, store_names = folders.read_stores(path)
  summary = _summary(paths.summary)
  done, summarised = _last_round(rows), summary.get('rounds', 0)
  errors.require(
    summarised <= done,
    f'{paths.metrics} ends before round {summarised}, but'
    f' {paths.summary.name} counts {summarised} rounds: restore'
    f' {paths.metrics.name} from a copy.',
  )
  found = ()
  if summarised < done:
    summary = {}  # It is from an earlier command.
  elif checksums.exists(paths.transcripts):
    found = transcripts.read(paths.transcripts)
  account = _account(paths, flags, _planned_rounds(flags, rows))
  if columns.client_prefix(account.plan) is None:
    # Earlier releases wrote durations even under a guarantee.
    rows = [_without_times(row) for row in rows]
    summary = _without_times(summary)
  return RunRecord(
    paths=paths,
    flags=flags,
    stores=stores,
    store_names=store_names,
    rows=rows,
    summary=summary,
    transcripts=found,
    account=account,
  )


def _last_round(rows: Sequence[Mapping[str, float]]) -> int:
  return int(rows[-1][columns.ROUND]) if rows else 0


def _planned_rounds(
  flags: Mapping[str, str], rows: Sequence[Mapping[str, float]]
) -> int:
  return max(int(_number(flags, 'rounds') or 0), _last_round(rows))


def _number(flags: Mapping[str, str], flag: str) -> float | None:
  try:
    return float(flags[flag])
  except (KeyError, ValueError):
    return None


def _without_times(figures: Mapping[str, Any]) -> dict[str, Any]:
  return {
    name: value
    for name, value in figures.items()
    if name != columns.MINUTES and not name.startswith(columns.SECONDS)
  }


def _without_paths(value: str) -> str:
  return ','.join(part.rpartition('/')[2] for part in value.split(','))


MODEL = 'model_digest'
"""Key in a summary: hash of the final weights of the run."""

# Figures of a summary that pages and tables write as numbers.
_NUMBERS = frozenset(
  [
    *('rounds', columns.WER, columns.CER),
    *('eval_utterances', 'wer_median_speaker'),
    *('wer_worst_tenth', 'wer_weighted', 'seed_wer', 'seed_cer', 'delta'),
    *('noise_multiplier', 'epsilon_this_run_alone'),
    *columns.both(columns.MINUTES),
  ]
)


def _summary(path: pathlib.Path) -> dict[str, Any]:
  if not checksums.exists(path):
    return {}
  try:
    summary = text_files.read_json(path)
    for name in ('rounds', columns.WER, columns.CER):
      _ = float(summary[name])
    for name in _NUMBERS & summary.keys():
      errors.require(isinstance(summary[name], int | float | None), name)
    if summary.get(columns.EPSILON, 'none') != 'none':
      _ = float(summary[columns.EPSILON])
    _, _ = map(float, summary.get('wer_interval') or (0, 0))
    _ = dict(summary.get('provenance', {}))
  except errors.UserError:
    raise
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'{path} is damaged: remove it, then repeat the train command.'
    ) from error
  return summary


def _account(
  paths: folders.RunPaths, flags: Mapping[str, str], planned_rounds: int
) -> accounts.Account:
  whole_ledger.check(paths.path)
  if not ledger.has_begun(paths.ledger):
    return accounts.Account(None, None, None)
  book = ledger.Ledger(paths.ledger)
  plan = recorded_plan.of(book, planned_rounds)
  cohort, population = (
    _number(flags, f'accounting_{size}')
    for size in ('cohort_size', 'population')
  )
  hypothetical = None
  if plan.is_guarantee and cohort and population:
    hypothetical = plan.hypothetical(int(cohort), int(population))
  return accounts.Account(plan, book, hypothetical)
