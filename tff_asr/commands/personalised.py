"""Measures the gain from tuning a model on each speaker's own data."""

from collections.abc import Sequence

import tqdm

from tff_asr import counts, errors
from tff_asr.corpora import client_store
from tff_asr.learning import error_statistics, evaluation, personalisation
from tff_asr.models.encoder import Encoder


def table(
  encoder: Encoder,
  store: client_store.ClientStore,
  config: personalisation.PersonalisationConfig,
) -> list[str]:
  """Returns error rates before and after tuning, by speaker and in total.

  Args:
    encoder: The model; its weights are unchanged afterwards.
    store: Store of the speakers.
    config: Settings of the tuning.

  Returns:
    The lines of the table.

  Raises:
    UserError: If no speaker has two utterances.
  """
  with tqdm.tqdm(
    total=len(store.client_ids),
    desc='personalised',
    unit='speaker',
    disable=None,
  ) as bar:
    comparisons = personalisation.compare(encoder, store, config, bar.update)
  errors.require(
    bool(comparisons),
    f'No speaker in {store.path} has two utterances: one is needed to tune the'
    ' model, one to transcribe.',
  )
  lines = [
    f'Tuned on every second utterance of a speaker: {config.epochs} epochs of'
    f' SGD, learning rate {config.learning_rate:g}. Error rates on the other'
    ' utterances:',
    f'{"speaker":32}{"utterances":>12}{"words":>8}{"global":>9}{"own":>9}',
  ]
  rates = [_rates(c.before, c.after) for c in comparisons]
  gains = [before.wer - after.wer for before, after in rates]
  for i in sorted(range(len(gains)), key=lambda i: -gains[i]):
    lines.append(_line(comparisons[i].client_id, *rates[i]))
  every = [[t for c in comparisons for t in c.before]]
  every.append([t for c in comparisons for t in c.after])
  lines.append(_line('all', *_rates(*every)))
  interval = error_statistics.interval_of_change(*every)
  lines += [
    '',
    f'better for {counts.text(sum(g > 0 for g in gains), "speaker")}, worse for'
    f' {sum(g < 0 for g in gains)}, the same for {sum(g == 0 for g in gains)}',
  ]
  if interval:
    lines.append(error_statistics.change_in_words(interval))
  return lines


def _rates(
  before: Sequence[evaluation.Transcript],
  after: Sequence[evaluation.Transcript],
) -> tuple[evaluation.ErrorRates, evaluation.ErrorRates]:
  return evaluation.error_rates(before), evaluation.error_rates(after)


def _line(
  name: str, before: evaluation.ErrorRates, after: evaluation.ErrorRates
) -> str:
  return (
    f'{name:32}{before.utterances:12d}{before.words:8d}'
    f'{before.wer:9.1%}{after.wer:9.1%}'
  )
