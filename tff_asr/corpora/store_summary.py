"""What went into a client store, for those who make one."""

from collections.abc import Mapping
import contextlib
import dataclasses
import pathlib
import sqlite3

import numpy as np

from tff_asr import text_files
from tff_asr.audio import features
from tff_asr.corpora import store


@dataclasses.dataclass(frozen=True)
class Summary:
  """What went into a store.

  Attributes:
    path: The store.
    utterances: Number of utterances.
    words: Number of words.
    skipped: Number of utterances left out, by reason, the commonest first.
    client_seconds: float64 `[clients]`, length of each speaker's audio.
    shared: Number of utterances whose audio another speaker has as well.
  """

  path: pathlib.Path
  utterances: int
  words: int
  skipped: dict[str, int]
  client_seconds: np.ndarray
  shared: int


def of_database(path: pathlib.Path, database: sqlite3.Connection) -> Summary:
  """Returns what is in the database of a store, finished or not."""
  query = database.execute
  skipped = query(
    'SELECT reason, COUNT(*) FROM skipped GROUP BY reason'
    ' ORDER BY COUNT(*) DESC, reason'
  )
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
    dict(skipped.fetchall()),
    samples / features.SAMPLE_RATE,
    int(shared.fetchone()[0]),
  )


def of_finished(
  path: pathlib.Path, settings: Mapping[str, object]
) -> Summary | None:
  """Returns what is in a finished store, if it was made with `settings`."""
  try:
    found = text_files.read_json(path / store.METADATA)
    if any(found[name] != value for name, value in settings.items()):
      return None
    with contextlib.closing(sqlite3.connect(path / store.DATABASE)) as database:
      return of_database(path, database)
  except (OSError, ValueError, KeyError, TypeError, sqlite3.Error):
    return None
