"""What a page has of single speakers: names, error rates, words."""

from collections.abc import Mapping, Sequence

from tff_asr.learning import evaluation
from tff_asr.reports import markup
from tff_asr.runs import transcripts

_TYPICAL, _WORST = 8, 10
_SPEAKERS_OPEN = 20


def sections(
  found: Sequence[evaluation.Transcript],
) -> list[markup.Section]:
  """Returns a table of the speakers, and examples of what they said.

  Args:
    found: What the final model heard; without any there is nothing to show.
  """
  if not found:
    return []
  by_client = evaluation.by_client(found)
  speakers = rates('speaker', by_client)
  if len(by_client) > _SPEAKERS_OPEN:
    speakers = markup.folded(f'All {len(by_client)} speakers', speakers)
  return [
    markup.Section('Speakers by name', [speakers]),
    markup.Section('Transcripts', _examples(found)),
  ]


def rates(
  name: str, groups: Mapping[str, evaluation.ErrorRates]
) -> markup.Html:
  """Returns a table of error rates, a row for each group.

  Args:
    name: What a group is.
    groups: Their rates, by what they are called.
  """
  return markup.table(
    (name, 'utterances', 'words', 'WER', 'CER'),
    (
      (name, r.utterances, r.words, f'{r.wer:.1%}', f'{r.cer:.1%}')
      for name, r in groups.items()
    ),
  )


def _examples(
  found: Sequence[evaluation.Transcript],
) -> list[markup.Html]:
  return [
    markup.paragraph('What differs is bold, in colour.'),
    markup.element(
      'h3', 'Drawn at random over all error rates, the best first'
    ),
    _said_and_heard(transcripts.typical(found, _TYPICAL)),
    markup.element('h3', f'The {_WORST} worst'),
    _said_and_heard(transcripts.worst(found, _WORST)),
  ]


def _said_and_heard(
  chosen: Sequence[evaluation.Transcript],
) -> markup.Html:
  def words(found: transcripts.Words) -> markup.Html:
    return markup.joined(
      (
        markup.element('b', word, 'wrong') if wrong else word
        for word, wrong in found
      ),
      ' ',
    )

  return markup.table(
    ('utterance', 'WER', 'said', 'heard'),
    (
      (t.utterance_id, f'{t.wer:.0%}', *map(words, transcripts.marked(t)))
      for t in chosen
    ),
  )
