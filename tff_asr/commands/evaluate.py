"""Evaluates a model on a store."""

from collections.abc import Sequence
import dataclasses
import math
import pathlib
import textwrap

from tff_asr import counts, errors
from tff_asr.commands import personalised
from tff_asr.corpora import client_store, content_check
from tff_asr.learning import error_statistics, evaluation, personalisation
from tff_asr.models import beam_search, model_folder
from tff_asr.models.encoder import Encoder
from tff_asr.runs import lineage
from tff_asr.text import arpa, vocabularies

# The defaults of pyctcdecode; they are not tuned on any corpus of this project.
LM_WEIGHT = 0.5
WORD_BONUS = 1.5

_UNPROTECTED_NOTE = textwrap.fill(
  'UNPROTECTED: these speakers were clients of a private run that trained this'
  ' model. The figures on them have no noise, and the guarantee does not cover'
  ' these figures: keep the figures as securely as the recordings.',
  80,
)
_UNKNOWN_NOTE = textwrap.fill(
  'UNKNOWN: the model has no record of the data that it was trained on. If'
  ' these speakers were clients of a private run that trained it, its guarantee'
  ' does not cover the figures on them.',
  80,
)


@dataclasses.dataclass(frozen=True)
class Decoding:
  """Configures the decoding of transcripts.

  Attributes:
    beam: Width of the beam search; 0 for greedy decoding.
    lm: ARPA file of a language model.
    lm_weight: Weight of the language model; `LM_WEIGHT` if None.
    word_bonus: Bonus for every word, in nats. If None, `WORD_BONUS` with a
      language model and 0 without.

  Raises:
    UserError: If a setting is out of range, or needs another that is missing.
  """

  beam: int = 0
  lm: pathlib.Path | None = None
  lm_weight: float | None = None
  word_bonus: float | None = None

  def __post_init__(self):
    errors.require(
      self.beam >= 0, f'`beam={self.beam}` must be 0 (greedy) or more.'
    )
    for flag in 'lm', 'lm_weight', 'word_bonus':
      errors.require(
        bool(self.beam) or getattr(self, flag) is None,
        f'`{flag}` is for the beam search: give `beam=50` as well.',
      )
    if self.lm_weight is not None:
      errors.require(
        self.lm is not None, '`lm_weight` is for a language model: give `lm`.'
      )
      errors.require(
        0.0 <= self.lm_weight < math.inf,
        f'`lm_weight={self.lm_weight}` must be 0 or more, and finite.',
      )
    errors.require(
      self.word_bonus is None or math.isfinite(self.word_bonus),
      f'`word_bonus={self.word_bonus}` must be finite.',
    )

  def search(
    self, vocabulary: vocabularies.Vocabulary
  ) -> beam_search.BeamSearch | None:
    """Returns the beam search, or None for greedy decoding.

    Raises:
      UserError: If the language model cannot be used.
    """
    if not self.beam:
      return None
    lm = arpa.read(self.lm, vocabulary.alphabet) if self.lm else None
    weight, bonus = self.lm_weight, self.word_bonus
    config = beam_search.BeamConfig(
      self.beam,
      LM_WEIGHT if weight is None else weight,
      (WORD_BONUS if lm else 0.0) if bonus is None else bonus,
    )
    return beam_search.BeamSearch(vocabulary.pieces, config, lm)


def evaluate(
  model_dir: pathlib.Path,
  eval_store: pathlib.Path,
  worst: int,
  personalise: personalisation.PersonalisationConfig | None = None,
  decoding: Decoding = Decoding(),
  unprotected: bool = False,
) -> str:
  """Returns WER and CER, total and by client, and the worst utterances.

  Args:
    model_dir: Folder of a model or of a run.
    eval_store: Folder of the store.
    worst: Number of worst utterances to show.
    personalise: If given, settings for tuning the model on each speaker in
      turn, for a comparison; this comparison decodes greedily.
    decoding: Settings of the decoding.
    unprotected: Whether to allow speakers who were clients of a private run
      that trained the model; the output is then marked.

  Raises:
    UserError: If the model, the store or the language model cannot be used, or
      they do not match, or a private run promised privacy to the speakers.
  """
  with content_check.ContentCheck() as check:
    subject = _load(model_dir, eval_store, unprotected)
    check.begin(subject.store)
    search = decoding.search(subject.vocabulary)
    evaluator = evaluation.Evaluator(
      subject.encoder, subject.vocabulary, search
    )
    transcripts = evaluator.transcribe(evaluation.batches(subject.store))
    lines = [*subject.notes, *_table(transcripts), *_worst(transcripts, worst)]
    if personalise:
      found = personalised.table(subject.encoder, subject.store, personalise)
      lines += ['', *found]
    check.wait()
    return '\n'.join(lines)


@dataclasses.dataclass(frozen=True)
class _Subject:
  """Holds a model and the store on which the model is evaluated.

  Attributes:
    encoder: The model.
    vocabulary: The vocabulary of both.
    store: The store.
    notes: Warnings for the output, as lines.
  """

  encoder: Encoder
  vocabulary: vocabularies.Vocabulary
  store: client_store.ClientStore
  notes: list[str]


def _load(
  model_dir: pathlib.Path, eval_store: pathlib.Path, unprotected: bool
) -> _Subject:
  """Loads a model and opens a store.

  Raises:
    UserError: If their vocabularies differ, or a private run promised privacy
      to the speakers.
  """
  encoder, vocabulary = model_folder.load(model_dir)
  store = client_store.ClientStore(eval_store)
  if store.vocabulary != vocabulary:
    raise errors.UserError(
      f'The model in {model_dir} and the store {eval_store} have different'
      ' vocabularies: prepare the store with the vocabulary of the model.'
    )
  trained_on = lineage.of_run(model_dir)
  lineage.check_evaluated(trained_on, store, unprotected)
  notes = []
  if lineage.UNKNOWN in trained_on:
    notes += [_UNKNOWN_NOTE, '']
  if lineage.has_promised(trained_on, store):
    notes += [_UNPROTECTED_NOTE, '']
  return _Subject(encoder, vocabulary, store, notes)


def _table(transcripts: Sequence[evaluation.Transcript]) -> list[str]:
  """Returns error rates by speaker, in total and by length, as lines."""
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
  add(
    f'worst tenth ({counts.text(found.worst_speakers, "speaker")})',
    found.worst_tenth,
  )
  for words, rates in found.by_length.items():
    add(f'utterances of {words} words', rates)
  return [*lines, '', *error_statistics.in_words(found)]


def _worst(
  transcripts: Sequence[evaluation.Transcript], number: int
) -> list[str]:
  """Returns the utterances with the highest word error rates, as lines."""
  lines = ['', 'worst utterances'] if number else []
  for transcript in sorted(transcripts, key=lambda t: -t.wer)[:number]:
    lines += [
      f'{transcript.utterance_id}  WER {transcript.wer:.0%}',
      f'  reference   {transcript.reference}',
      f'  hypothesis  {transcript.hypothesis}',
    ]
  return lines
