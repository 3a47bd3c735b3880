"""Summaries of a client store's contents, for the user who prepares it."""

import contextlib
import dataclasses
import pathlib
import sqlite3

import numpy as np

from tff_asr.audio import features
from tff_asr.corpora import client_store

# Advice if most of a corpus is left out, by the most frequent reason.
_ADVICE = {
  'outside the vocabulary': 'Give the `vocabulary` of the language, or texts'
  ' with numbers and signs written as words.',
  'no name': 'Give each utterance the name of its speaker.',
  'not UTF-8': 'Convert the transcripts to UTF-8, for instance by iconv.',
  'audio file missing': 'Compare the names in the transcripts, and the folder'
  ' where relative names start, with the files.',
  'too long': 'Give a greater `max_seconds`, or cut the audio.',
  'speaker unclear': 'Move the files into folders SPEAKER/CHAPTER.',
}


@dataclasses.dataclass(frozen=True)
class Summary:
  """A summary of a store's contents.

  Attributes:
    path: The store.
    utterances: Number of utterances.
    words: Number of words.
    skipped: Number of skipped utterances by reason, in descending order.
    examples: A skipped utterance with its detail by reason, in the same order.
    client_seconds: float64 `[clients]`, length of each speaker's audio.
    shared: Number of utterances with audio that another speaker has, too.
  """

  path: pathlib.Path
  utterances: int
  words: int
  skipped: dict[str, int]
  examples: dict[str, str]
  client_seconds: np.ndarray
  shared: int


def of_database(path: pathlib.Path, database: sqlite3.Connection) -> Summary:
  """Returns the summary of a store's database, complete or not."""
  query = database.execute
  # SQLite takes the other columns from the row with the least number.
  skipped = query(
    'SELECT reason, COUNT(*), MIN(number), client_id, utterance_id, detail'
    ' FROM skipped GROUP BY reason ORDER BY COUNT(*) DESC, reason'
  ).fetchall()
  clients = query(
    'SELECT COUNT(*), SUM(words), SUM(samples) FROM records GROUP BY client_id'
  ).fetchall()
  shared = query(
    'SELECT COALESCE(SUM(utterances), 0) FROM (SELECT COUNT(*) AS utterances'
    ' FROM records GROUP BY audio_digest HAVING COUNT(DISTINCT client_id) > 1)'
  )
  utterances, words, samples = np.array(clients, np.int64).reshape(-1, 3).T
  return Summary(
    path,
    int(utterances.sum()),
    int(words.sum()),
    {reason: count for reason, count, *_ in skipped},
    {
      reason: f'{utterance_id or client_id}'
      + (f' ({detail})' if detail else '')
      for reason, _, _, client_id, utterance_id, detail in skipped
    },
    samples / features.SAMPLE_RATE,
    int(shared.fetchone()[0]),
  )


def of_finished(path: pathlib.Path) -> Summary:
  """Returns the summary of a complete store."""
  with contextlib.closing(
    sqlite3.connect(path / client_store.DATABASE)
  ) as database:
    return of_database(path, database)


def reasons(summary: Summary) -> str:
  """Returns the reasons of skipped utterances with advice.

  The text is empty if most of the corpus is used.
  """
  left_out = sum(summary.skipped.values())
  if left_out <= summary.utterances:
    return ''
  counts = ', '.join(f'{n} {r}' for r, n in summary.skipped.items())
  (reason, example), *_ = summary.examples.items()
  message = f'{counts}; for instance, {reason}: {" ".join(example.split())}'
  advice = _ADVICE.get(reason)
  return f'{message}. {advice}' if advice else f'{message}.'
