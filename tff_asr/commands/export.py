"""From the folder of a run to what TF Serving loads."""

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
  """Writes the next version of a run's model; returns what it is, in words.

  Args:
    run_dir: Folder of a run that has come to its end.
    export_dir: Folder of all versions.
    name: That the server gives the model.
    beam: Width of the beam search, 0 for none.
    max_seconds: Longer utterances are refused.
    phones: Some of `tflite.KINDS`, models for TensorFlow Lite.

  Raises:
    UserError: If there is no finished run, or a folder cannot be written to.
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
  """Reads a run.

  Raises:
    UserError: If it is unfinished, or its model is not its own.
  """
  run = records.read(run_dir)
  if not run.is_finished or not model_folder.is_complete(run.paths.model):
    raise errors.UserError(
      f'The run in {run_dir} has not come to its end: run the train'
      ' command with its flags again, which resumes it.'
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
  """Returns a line if the file of a server lacks a model."""
  if f'"{name}"' in models.read_text(errors='replace'):
    return []
  return [f'{models} stays as it is, and has no model {name}: add it there.']


def _check_is_of(run: records.RunRecord) -> None:
  """Checks that the model in a run's folder is what the run has made.

  Raises:
    UserError: If it is not, so that the run's epsilon would not be its own.
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
    f'{model} is not the model with which the run ended: restore the folder of'
    ' the run from one copy.',
  )


def _card(run: records.RunRecord) -> str:
  """The run's card, which may be older than what is known of its ledger."""
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
  """Returns the card of a model that is served.

  Args:
    run: The run.
    facts: The result of `provenance`.
    name: The name of the model on the server.
    max_seconds: The longest utterance.
  """
  made = facts['exported_with']
  served = (
    f'As `{name}`, utterances of up to {max_seconds:g} s; exported by'
    f' tff_asr at revision {made["revision"] or "unknown"}, with'
    f' TensorFlow {made["packages"]["tensorflow"]}.\n'
  )
  return '\n\n'.join([_card(run), '## Served', served])


def provenance(run: records.RunRecord) -> Mapping[str, Any]:
  """Says where a model is from: no paths, nothing that was not released."""
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
