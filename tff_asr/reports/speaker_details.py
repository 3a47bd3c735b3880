"""Builds the parts of a page on single speakers: names, error rates, words."""

from collections.abc import Mapping, Sequence

from tff_asr import counts
from tff_asr.learning import evaluation
from tff_asr.reports import markup
from tff_asr.runs import transcripts

_TYPICAL, _WORST = 8, 10
_SPEAKERS_OPEN = 20


def sections(
  found: Sequence[evaluation.Transcript],
) -> list[markup.Section]:
  """Returns a table of the speakers, and examples of their transcripts.

  Args:
    found: Transcripts by the final model. If there are none, the result is
      empty.
  """
  if not found:
    return []
  by_client = evaluation.by_client(found)
  speakers = rates('speaker', by_client)
  if len(by_client) > _SPEAKERS_OPEN:
    speakers = markup.folded(
      f'All {counts.text(len(by_client), "speaker")}', speakers
    )
  return [
    markup.Section('Speakers by name', [speakers]),
    markup.Section('Transcripts', _examples(found)),
  ]


def rates(
  name: str, groups: Mapping[str, evaluation.ErrorRates]
) -> markup.Html:
  """Returns a table of error rates, a row for each group.

  Args:
    name: Title of the column with the names of the groups.
    groups: Error rates by the name of the group.
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
    markup.paragraph('Words that differ are bold and coloured.'),
    markup.element(
      'h3', 'A random choice over all error rates, the best first'
    ),
    _words_compared(transcripts.typical(found, _TYPICAL)),
    markup.element('h3', f'The {_WORST} worst'),
    _words_compared(transcripts.worst(found, _WORST)),
  ]


def _words_compared(
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
    ('utterance', 'WER', 'reference', 'hypothesis'),
    (
      (t.utterance_id, f'{t.wer:.0%}', *map(words, transcripts.marked(t)))
      for t in chosen
    ),
  )
