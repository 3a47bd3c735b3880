"""Exports the model of a run for TF Serving and TensorFlow Lite."""

from collections.abc import Mapping, Sequence
import json
import pathlib
import re
from typing import Any

from tff_asr import checksums, errors, text_files
from tff_asr.models import model_folder
from tff_asr.reports import model_card
from tff_asr.runs import columns, lineage, records
from tff_asr.serving import saved_model, server_files, tflite, transcriber


def export(
  run_dir: pathlib.Path,
  export_dir: pathlib.Path,
  name: str,
  beam: int,
  max_seconds: float,
  phones: Sequence[str],
) -> str:
  """Writes the next version of a run's model; returns a description of it.

  Args:
    run_dir: Folder of a finished run.
    export_dir: Folder of all versions.
    name: Name of the model on the server.
    beam: Width of the beam search, 0 for none.
    max_seconds: Length of the longest utterance that the model accepts, in
      seconds.
    phones: Kinds of TensorFlow Lite models to write, from `tflite.KINDS`.

  Raises:
    UserError: If the run is missing or unfinished, or a folder cannot be
      written to.
  """
  if not re.fullmatch('[A-Za-z0-9_-]+', name):
    raise errors.UserError(
      f'`model_name={name}` must be letters, digits, - and _: it is part of the'
      ' address.'
    )
  errors.require_positive(max_seconds=max_seconds)
  run = _finished(run_dir)
  encoder, vocabulary = model_folder.load(run.paths.model)
  model = transcriber.Transcriber(encoder, vocabulary, beam, max_seconds)
  facts = provenance(run)
  files = {
    'provenance.json': _json(facts),
    'vocabulary.json': _json(
      {**vocabulary.to_json(), 'pieces': vocabulary.pieces}
    ),
    'flags.txt': ''.join(f'--{k}={v}\n' for k, v in facts['flags'].items()),
    run.paths.model_card.name: _served_card(run, facts, name, max_seconds),
  }
  small = tflite.models(encoder, phones, max_seconds)
  version = saved_model.export(model, export_dir, name, files, small)
  lines = [f'Version {version.name} of {name}: {version}', *_signatures(model)]
  lines += [
    f'For phones: {version / saved_model.EXTRA / file}.tflite'
    for file in phones
  ]
  lines += _not_served(export_dir / server_files.MODELS, name)
  lines += ['Privacy', *(f'  {p}' for p in facts['privacy'])]
  return '\n'.join(lines)


def _finished(run_dir: pathlib.Path) -> records.RunRecord:
  """Reads the record of a finished run.

  Raises:
    UserError: If the run is unfinished, or the model in its folder is not the
      model that the run trained.
  """
  run = records.read(run_dir)
  if not run.is_finished or not model_folder.is_complete(run.paths.model):
    raise errors.UserError(
      f'The run in {run_dir} is not finished: run the train'
      ' command with the same flags again to resume it.'
    )
  _check_is_of(run)
  if not checksums.exists(run.paths.model_card):
    raise errors.UserError(
      f'The run in {run_dir} has no {run.paths.model_card.name}: run'
      ' the report command on it first.'
    )
  return run


def _json(value: Mapping[str, Any]) -> str:
  return json.dumps(value, indent=2) + '\n'


def _signatures(model: transcriber.Transcriber) -> list[str]:
  """Returns the signatures of an exported model, as lines."""
  lines = ['Signatures']
  for signature, function in model.functions.items():
    inputs = ', '.join(s.name for s in function.structured_input_signature[0])
    outputs = ', '.join(function.structured_outputs)
    lines.append(f'  {signature:16}{inputs} -> {outputs}')
  return lines


def _not_served(models: pathlib.Path, name: str) -> list[str]:
  """Returns a line if the configuration file of a server lacks a model."""
  if f'"{name}"' in models.read_text(errors='replace'):
    return []
  return [f'{models} is unchanged and has no model {name}: add it there.']


def _check_is_of(run: records.RunRecord) -> None:
  """Checks that the model in a run's folder is the model that the run trained.

  Raises:
    UserError: If it is another model: the run's epsilon would not hold for it.
  """
  model = run.paths.model
  lineage.require(model)
  ledger = run.account.ledger
  is_counted = not ledger or any(
    training.ledger == ledger.name for training in lineage.read(model)
  )
  digest = run.summary.get(records.MODEL)
  errors.require(
    is_counted and digest in (None, model_folder.digest(model)),
    f'{model} is not the final model of the run: restore the folder of the run'
    ' from one copy.',
  )


def _card(run: records.RunRecord) -> str:
  """Returns the run's card with all current warnings.

  The card may be older than the latest warnings about the run's ledger.
  """
  card = text_files.read(run.paths.model_card).rstrip()
  for note in run.account.warnings:
    if note not in card:
      card = card.replace('## Privacy\n', f'## Privacy\n\n{note}\n', 1)
  return card


def _served_card(
  run: records.RunRecord,
  facts: Mapping[str, Any],
  name: str,
  max_seconds: float,
) -> str:
  """Returns the card of an exported model.

  Args:
    run: The run.
    facts: The result of `provenance`.
    name: Name of the model on the server.
    max_seconds: Length of the longest utterance, in seconds.
  """
  made = facts['exported_with']
  served = (
    f'Served as `{name}`, for utterances of up to {max_seconds:g} s; exported'
    f' by tff_asr at revision {made["revision"] or "unknown"}, with'
    f' TensorFlow {made["packages"]["tensorflow"]}.\n'
  )
  return '\n\n'.join([_card(run), '## Served', served])


def provenance(run: records.RunRecord) -> Mapping[str, Any]:
  """Returns the provenance of a model: released figures only, and no paths."""
  figures = {
    name: run.summary[name]
    for name in (
      *('rounds', columns.WER, columns.CER),
      *('eval_utterances', 'seed_wer'),
    )
    if name in run.summary
  }
  return {
    'run': run.name,
    **figures,
    **run.account.figures(run.rounds),
    'privacy': run.account.statement(run.rounds),
    'flags': run.flags_without_paths,
    'trained_with': run.summary.get('provenance', {}),
    'trainings': list(model_card.trainings(run)),
    'exported_with': model_card.software(),
  }
