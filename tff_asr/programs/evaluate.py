"""Evaluates a model on a store."""

import pathlib

from tff_asr import errors
from tff_asr.corpora import store as store_lib
from tff_asr.learning import error_statistics, evaluation, personalisation
from tff_asr.models import model_folder
from tff_asr.programs import personalised


def evaluate(
  model_dir: pathlib.Path,
  eval_store: pathlib.Path,
  worst: int,
  personalise: personalisation.PersonalisationConfig | None = None,
) -> str:
  """Returns WER and CER, total and by client, and the worst utterances.

  Args:
    model_dir: A model's folder, or a run's.
    eval_store: The store.
    worst: How many of the worst utterances are shown.
    personalise: If given, how the model is tuned on each speaker in turn, for
      a comparison.

  Raises:
    UserError: If model or store cannot be used, or do not go together.
  """
  encoder, vocabulary = model_folder.load(model_dir)
  store = store_lib.ClientStore(eval_store)
  if store.vocabulary != vocabulary:
    raise errors.UserError(
      f'The model in {model_dir} and the store {eval_store} have different'
      ' vocabularies: prepare the store with that of the model.'
    )
  transcripts = evaluation.Evaluator(encoder, vocabulary).transcribe(
    evaluation.batches(store)
  )
  lines = [f'{"speaker":32}{"utterances":>12}{"words":>8}{"WER":>9}{"CER":>9}']

  def add(name: str, rates: evaluation.ErrorRates) -> None:
    lines.append(
      f'{name:32}{rates.utterances:12d}{rates.words:8d}'
      f'{rates.wer:9.1%}{rates.cer:9.1%}'
    )

  for client_id, rates in evaluation.by_client(transcripts).items():
    add(client_id, rates)
  found = error_statistics.statistics(transcripts)
  add('all', found.total)
  lines.append('')
  add(f'worst tenth ({found.worst_speakers} speakers)', found.worst_tenth)
  for words, rates in found.by_length.items():
    add(f'utterances of {words} words', rates)
  lines += ['', *error_statistics.in_words(found)]
  if worst:
    lines += ['', 'worst utterances']
  for transcript in sorted(transcripts, key=lambda t: -t.wer)[:worst]:
    lines += [
      f'{transcript.utterance_id}  WER {transcript.wer:.0%}',
      f'  said   {transcript.reference}',
      f'  heard  {transcript.hypothesis}',
    ]
  if personalise:
    lines += ['', *personalised.table(encoder, store, personalise)]
  return '\n'.join(lines)
