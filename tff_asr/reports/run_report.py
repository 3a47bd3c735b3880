"""Writes the results of a run: table, `report.html`, `summary.json`, card."""

from collections.abc import Mapping, Sequence
import json
import pathlib
import textwrap
from typing import Any

from tff_asr import checksums, counts, durable
from tff_asr.learning import error_statistics, evaluation
from tff_asr.models import model_folder
from tff_asr.reports import model_card, run_page
from tff_asr.runs import (
  accounts,
  columns,
  folders,
  metrics_file,
  records,
  whole_ledger,
)
from tff_asr.runs import transcripts as transcripts_lib


def write(
  run_folder: folders.RunFolder,
  account: accounts.Account,
  rounds: int,
  transcripts: Sequence[evaluation.Transcript],
  minutes: float,
  *,
  provenance: Mapping[str, Any] | None = None,
  seed_rates: evaluation.ErrorRates | None = None,
  private_details: bool = False,
) -> str:
  """Writes the files of a finished run; returns its result as a table.

  Args:
    run_folder: Folder of the run.
    account: Privacy account of the run.
    rounds: Number of rounds done.
    transcripts: Transcripts of the held-out speakers by the final model.
    minutes: Duration of this call; written only if it may be released.
    provenance: Provenance of the model, see `model_card.provenance`.
    seed_rates: Error rates on the same speakers of the model before the first
      round. Needed if the metrics of round 0 are on only some of the speakers.
    private_details: Whether to write a second page, with names, words and
      paths.
  """
  rows = metrics_file.read(run_folder.metrics) if rounds else []
  found = error_statistics.statistics(transcripts)
  final = found.total
  figures = dict(
    rounds=rounds,
    wer=final.wer,
    cer=final.cer,
    eval_utterances=final.utterances,
    wer_interval=found.interval,
    wer_median_speaker=found.median_speaker,
    wer_worst_tenth=found.worst_tenth.wer,
    wer_weighted=found.weighted_wer,
  )
  if seed_rates:
    figures |= dict(seed_wer=seed_rates.wer, seed_cer=seed_rates.cer)
  elif rows and rows[0][columns.ROUND] == 0 and columns.WER in rows[0]:
    first = rows[0]
    figures |= dict(seed_wer=first[columns.WER], seed_cer=first[columns.CER])
  if rounds:
    figures |= account.figures(rounds)
  if account.ledger:
    figures[whole_ledger.HEAD] = account.ledger.head
  prefix = columns.client_prefix(account.plan)
  if prefix is not None:
    figures[prefix + columns.MINUTES] = round(minutes, 2)
  if model_folder.is_complete(run_folder.model):
    figures[records.MODEL] = model_folder.digest(run_folder.model)
  if provenance:
    figures['provenance'] = provenance
  transcripts_lib.write(run_folder.transcripts, transcripts)
  checksums.write(run_folder.summary, json.dumps(figures, indent=2) + '\n')
  pages = again(run_folder.path, private_details)
  return f'{_table(run_folder, figures, account)}\n{pages}'


def again(path: pathlib.Path, private_details: bool = False) -> str:
  """Rewrites the page and the card of a run; returns their paths as text.

  Only a finished run has a card.

  Args:
    path: Folder of a run, which may be unfinished or still training.
    private_details: Whether to write a second page, with names, words and
      paths. If false, the second page of an earlier call is removed.

  Raises:
    UserError: If the folder is not the folder of a run, or a file in it is
      damaged.
  """
  run = records.read(path)
  durable.write_text(run.paths.report, run_page.page_of(run))
  run.paths.private_report.unlink(missing_ok=True)
  lines = [f'report    {run.paths.report}']
  if private_details:
    durable.write_text(
      run.paths.private_report, run_page.page_of(run, private_details=True)
    )
    lines.append(f'private   {run.paths.private_report}')
  if run.is_finished and run.transcripts:
    card = model_card.card_of(run)
    checksums.write(run.paths.model_card, card)
    if run.paths.model.is_dir():
      checksums.write(run.paths.model / run.paths.model_card.name, card)
  return '\n'.join(lines)


def _table(run_folder, figures, account) -> str:
  lines = [f'{"":34}{"WER":>9}{"CER":>9}']

  def rates(name, wer, cer):
    lines.append(f'{name:34}{wer:9.1%}{cer:9.1%}')

  if figures['rounds']:
    if 'seed_wer' in figures:
      rates('seed model', figures['seed_wer'], figures['seed_cer'])
    name = f'federated model, {counts.text(figures["rounds"], "round")}'
    rates(name, figures[columns.WER], figures[columns.CER])
  else:
    rates('central model', figures[columns.WER], figures[columns.CER])
  lines += ['']
  if figures['rounds']:
    label = 'epsilon'
    for paragraph in account.statement(figures['rounds']):
      lines += textwrap.wrap(
        f'{label:10}{paragraph}', 80, subsequent_indent=' ' * 10
      )
      label = ''
  notes = ('', ' UNPROTECTED')
  for name, note in zip(columns.both(columns.MINUTES), notes, strict=True):
    if name in figures:
      lines.append(f'minutes   {figures[name]:.1f}{note}')
  lines.append(f'model     {run_folder.model}')
  if figures['rounds']:
    lines += [f'metrics   {run_folder.metrics}']
  return '\n'.join(lines)
