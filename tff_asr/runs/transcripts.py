"""Stores and selects the transcripts of held-out speakers."""

from collections.abc import Sequence
import csv
import dataclasses
import io
import itertools
import pathlib
import random

import jiwer

from tff_asr import checksums, errors
from tff_asr.learning import evaluation

_COLUMNS = [field.name for field in dataclasses.fields(evaluation.Transcript)]
_SEED = 0  # The same transcripts give the same examples.

Words = list[tuple[str, bool]]
"""Words of a text; each has a mark that is true in an error."""


def write(
  path: pathlib.Path, transcripts: Sequence[evaluation.Transcript]
) -> None:
  """Writes transcripts as a table with tabs, for `read`."""
  file = io.StringIO()
  rows = csv.writer(file, 'excel-tab', lineterminator='\n')
  rows.writerow(_COLUMNS)
  rows.writerows(map(dataclasses.astuple, transcripts))
  checksums.write(path, file.getvalue())


def read(path: pathlib.Path) -> list[evaluation.Transcript]:
  """Reads the transcripts that `write` wrote.

  Raises:
    UserError: If the file is not such a table, or was changed.
  """
  contents = checksums.read(path)
  try:
    file = io.StringIO(contents.decode(), newline='')
    header, *rows = list(csv.reader(file, 'excel-tab')) or [[]]
    if header != _COLUMNS:
      raise ValueError(f'its columns are {header}')
    return [
      evaluation.Transcript(*texts, loss=float(loss)) for *texts, loss in rows
    ]
  except (ValueError, TypeError, csv.Error) as error:
    raise errors.UserError(
      f'{path} is damaged ({error}): repeat the train command to write a new'
      ' file.'
    ) from error


def typical(
  transcripts: Sequence[evaluation.Transcript], count: int
) -> list[evaluation.Transcript]:
  """Returns example transcripts over the range of error rates, best first.

  Args:
    transcripts: Transcripts to choose from.
    count: Number of equal parts into which the transcripts are divided by error
      rate; one transcript of each part is drawn.
  """
  ordered = sorted(transcripts, key=lambda t: t.wer)
  generator = random.Random(_SEED)
  edges = [round(i * len(ordered) / count) for i in range(count + 1)]
  return [
    generator.choice(ordered[start:end])
    for start, end in itertools.pairwise(edges)
    if start < end
  ]


def worst(
  transcripts: Sequence[evaluation.Transcript], count: int
) -> list[evaluation.Transcript]:
  """Returns the transcripts with the highest error rates, worst first."""
  return sorted(transcripts, key=lambda t: -t.wer)[:count]


def marked(transcript: evaluation.Transcript) -> tuple[Words, Words]:
  """Returns the words of reference and hypothesis, with errors marked."""
  found = jiwer.process_words(transcript.reference, transcript.hypothesis)
  reference, hypothesis = [], []
  for part in found.alignments[0]:
    wrong = part.type != 'equal'
    reference += [
      (word, wrong)
      for word in found.references[0][part.ref_start_idx : part.ref_end_idx]
    ]
    hypothesis += [
      (word, wrong)
      for word in found.hypotheses[0][part.hyp_start_idx : part.hyp_end_idx]
    ]
  return reference, hypothesis
