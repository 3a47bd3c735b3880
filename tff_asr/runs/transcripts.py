"""Transcripts of held-out speakers: kept in a file, and chosen from."""

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
"""Words of a text, each with whether it is part of an error."""


def write(
  path: pathlib.Path, transcripts: Sequence[evaluation.Transcript]
) -> None:
  """Writes what `read` reads, a table with tabs."""
  file = io.StringIO()
  rows = csv.writer(file, 'excel-tab', lineterminator='\n')
  rows.writerow(_COLUMNS)
  rows.writerows(map(dataclasses.astuple, transcripts))
  checksums.write(path, file.getvalue())


def read(path: pathlib.Path) -> list[evaluation.Transcript]:
  """Reads transcripts.

  Raises:
    UserError: If the file is no such table, or not as it was written.
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
      f'{path} is damaged ({error}): run the train command again, which'
      ' writes it again.'
    ) from error


def typical(
  transcripts: Sequence[evaluation.Transcript], count: int
) -> list[evaluation.Transcript]:
  """Returns transcripts drawn over all error rates, the best first.

  Args:
    transcripts: From which to draw.
    count: Of how many equal parts, by error rate, one each is drawn.
  """
  ordered = sorted(transcripts, key=lambda t: t.wer)
  chance = random.Random(_SEED)
  edges = [round(i * len(ordered) / count) for i in range(count + 1)]
  return [
    chance.choice(ordered[start:end])
    for start, end in itertools.pairwise(edges)
    if start < end
  ]


def worst(
  transcripts: Sequence[evaluation.Transcript], count: int
) -> list[evaluation.Transcript]:
  """Returns those of the highest error rates, the highest first."""
  return sorted(transcripts, key=lambda t: -t.wer)[:count]


def marked(transcript: evaluation.Transcript) -> tuple[Words, Words]:
  """Returns what was said and what was heard, with what is wrong in each."""
  found = jiwer.process_words(transcript.reference, transcript.hypothesis)
  said, heard = [], []
  for part in found.alignments[0]:
    wrong = part.type != 'equal'
    said += [
      (word, wrong)
      for word in found.references[0][part.ref_start_idx : part.ref_end_idx]
    ]
    heard += [
      (word, wrong)
      for word in found.hypotheses[0][part.hyp_start_idx : part.hyp_end_idx]
    ]
  return said, heard
