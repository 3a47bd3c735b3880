"""Writing of client stores: `store.py` says what a store is.

Until it is complete a store is a folder `NAME.partial`, which a writer that was
stopped, even killed, leaves behind and the next one goes on with.
"""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import sqlite3
import time

import numpy as np

from tff_asr import errors
from tff_asr.audio import features
from tff_asr.corpora import store, utterance

_COMMIT_SECONDS = 2.0
_TABLES = (
  'CREATE TABLE records (number INTEGER PRIMARY KEY, client_id TEXT NOT NULL,'
  ' utterance_id TEXT NOT NULL UNIQUE, samples INTEGER NOT NULL,'
  ' words INTEGER NOT NULL, record BLOB NOT NULL)',
  'CREATE TABLE audio (digest BLOB PRIMARY KEY, client_id TEXT NOT NULL)'
  ' WITHOUT ROWID',
  'CREATE TABLE skipped (number INTEGER PRIMARY KEY, client_id TEXT,'
  ' utterance_id TEXT, reason TEXT, detail TEXT)',
  'CREATE TABLE progress (position INTEGER, fingerprint TEXT, settings TEXT)',
)
# Once all records are there, and again if that was stopped.  The views are the
# tables that TFF's own `load_and_parse_sql_client_data` reads.
_FINISH = (
  'CREATE INDEX IF NOT EXISTS records_by_client'
  ' ON records (client_id, samples)',
  'CREATE TABLE IF NOT EXISTS clients AS SELECT client_id,'
  ' COUNT(*) AS utterances, SUM(samples) AS samples, SUM(words) AS words'
  ' FROM records GROUP BY client_id',
  "CREATE VIEW IF NOT EXISTS examples AS SELECT 'all' AS split_name, client_id,"
  ' record AS serialized_example_proto FROM records'
  ' ORDER BY client_id, samples, number',
  'CREATE VIEW IF NOT EXISTS client_metadata AS SELECT client_id,'
  " 'all' AS split_name,"
  ' utterances AS num_examples FROM clients',
)


@dataclasses.dataclass(frozen=True)
class Entry:
  """An utterance as it is stored.

  Attributes:
    client_id: The speaker.
    utterance_id: Its name in the corpus.
    samples: Length of its audio at 16 kHz.
    words: Number of words.
    audio_digest: Equal for equal audio.
    record: A serialised `tf.train.Example`, see `store.RECORD_SPECS`.
  """

  client_id: str
  utterance_id: str
  samples: int
  words: int
  audio_digest: bytes
  record: bytes


@dataclasses.dataclass(frozen=True)
class Summary:
  """What went into a store.

  Attributes:
    path: The store.
    utterances: Number of utterances.
    words: Number of words.
    skipped: Number of utterances left out, by reason, the commonest first.
    client_seconds: float64 `[clients]`, length of each speaker's audio.
  """

  path: pathlib.Path
  utterances: int
  words: int
  skipped: dict[str, int]
  client_seconds: np.ndarray


class StoreWriter:
  """A store that is being written.

  Items are numbered from 0 in an order that is the same in every run.

  Attributes:
    position: Number of the next item.
    resumed_from: `position` when the writer was made.
  """

  def __init__(self, path: pathlib.Path, settings: Mapping[str, object]):
    """Begins a store, or goes on with what an earlier run left.

    Args:
      path: Where the store is to be; must not exist.
      settings: What decides of the content; kept in `store.json`.

    Raises:
      UserError: If something is at `path` already, another process writes it,
        or what is left there was begun with other settings.
    """
    if path.exists():
      raise errors.UserError(
        f'{path} exists already: remove it, or give another --output.'
      )
    self._path = path
    self._settings = dict(settings)
    self.partial = path.with_name(f'{path.name}.partial')
    self.partial.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as resources:
      self._take_lock(resources)
      self._database = self._open_database()
      resources.callback(self._database.close)
      self._resume()
      self._resources = resources.pop_all()
    self._committed = time.monotonic()

  def _take_lock(self, resources: contextlib.ExitStack) -> None:
    folder = os.open(self.partial, os.O_RDONLY)
    resources.callback(os.close, folder)
    try:
      fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise errors.UserError(
        f'Another call writes {self._path} just now: wait for it, or give'
        ' another --output.'
      ) from error

  def _open_database(self) -> sqlite3.Connection:
    path = self.partial / store.DATABASE
    database = sqlite3.connect(path, isolation_level=None)
    try:
      database.execute('PRAGMA cache_size = -65536')
      database.execute('BEGIN')
      if not database.execute('SELECT 1 FROM sqlite_master').fetchone():
        for statement in _TABLES:
          database.execute(statement)
        database.execute(
          "INSERT INTO progress VALUES (0, '', ?)",
          (json.dumps(self._settings),),
        )
      return database
    except sqlite3.DatabaseError as error:
      database.close()
      raise errors.UserError(
        f'{path} cannot be used ({error}): remove {self.partial}.'
      ) from error

  def _resume(self) -> None:
    (row,) = self._database.execute('SELECT * FROM progress')
    self.position, self._fingerprint, settings = row
    self.resumed_from = self.position
    begun = json.loads(settings)
    for name in begun | self._settings:
      if begun.get(name) != self._settings.get(name):
        raise errors.UserError(
          f'{self.partial} was begun with another {name}: give the same flags'
          ' to go on, or remove that folder to start again.'
        )

  def check(self, number: int, fingerprint: str) -> None:
    """Checks that items up to `number` are those that an earlier run saw.

    Raises:
      UserError: If they are not.
    """
    if number == self.resumed_from > 0 and fingerprint != self._fingerprint:
      raise errors.UserError(
        f'The corpus has changed since {self.partial} was begun: remove that'
        ' folder to start again.'
      )

  def speaker_of(self, audio_digest: bytes) -> str | None:
    """Returns whose utterance here has this audio."""
    row = self._database.execute(
      'SELECT client_id FROM audio WHERE digest = ?', (audio_digest,)
    ).fetchone()
    return row and row[0]

  def add(
    self,
    number: int,
    fingerprint: str,
    item: Entry | utterance.Skipped | None,
  ) -> None:
    """Takes the next item, or `None` for one that belongs elsewhere.

    Items that an earlier run has seen are passed over.

    Raises:
      UserError: If it cannot be written.
    """
    if number < self.position:
      return
    with self._writing():
      if isinstance(item, Entry):
        item = self._insert(number, item)
      if item:
        self._database.execute(
          'INSERT INTO skipped VALUES (?, ?, ?, ?, ?)',
          (
            number,
            *map(_storable, (item.client_id, item.utterance_id)),
            *map(_storable, (item.reason, item.detail)),
          ),
        )
      self.position, self._fingerprint = number + 1, fingerprint
      if time.monotonic() - self._committed > _COMMIT_SECONDS:
        self.commit()

  @contextlib.contextmanager
  def _writing(self) -> Iterator[None]:
    """Goes back to the last commit where the disk is full or broken."""
    try:
      yield
    except sqlite3.Error as error:
      if self._database.in_transaction:
        self._database.rollback()
      raise errors.UserError(
        f'{self.partial} cannot be written ({error}): make room, then the same'
        ' command goes on from what is there.'
      ) from error

  def _insert(self, number: int, entry: Entry) -> utterance.Skipped | None:
    done = self._database.execute(
      'INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?)',
      (
        number,
        entry.client_id,
        entry.utterance_id,
        entry.samples,
        entry.words,
        entry.record,
      ),
    )
    if not done.rowcount:
      return utterance.Skipped(
        entry.client_id, entry.utterance_id, 'name given twice'
      )
    self._database.execute(
      'INSERT OR IGNORE INTO audio VALUES (?, ?)',
      (entry.audio_digest, entry.client_id),
    )
    return None

  def commit(self) -> None:
    """Makes sure that all items so far outlive this process."""
    self._database.execute(
      'UPDATE progress SET position = ?, fingerprint = ?',
      (self.position, self._fingerprint),
    )
    self._database.execute('COMMIT')
    self._database.execute('BEGIN')
    self._committed = time.monotonic()

  def close(self) -> None:
    """Keeps what was written so far for a later run."""
    if not self.position:
      self.discard()
    with contextlib.suppress(sqlite3.Error):  # A full disk; or it is closed.
      if self._database.in_transaction:
        self.commit()
    self._resources.close()

  def summary(self) -> Summary:
    """Returns what was written so far."""
    query = self._database.execute
    skipped = query(
      'SELECT reason, COUNT(*) FROM skipped GROUP BY reason'
      ' ORDER BY COUNT(*) DESC, reason'
    )
    clients = query(
      'SELECT COUNT(*), SUM(words), SUM(samples) FROM records'
      ' GROUP BY client_id'
    ).fetchall()
    utterances, words, samples = np.array(clients, np.int64).reshape(-1, 3).T
    return Summary(
      self._path,
      int(utterances.sum()),
      int(words.sum()),
      dict(skipped.fetchall()),
      samples / features.SAMPLE_RATE,
    )

  def discard(self) -> None:
    """Removes what was written."""
    self._database.close()
    shutil.rmtree(self.partial)
    self._resources.close()

  def finish(self) -> Summary:
    """Completes the store and gives it its name.

    Raises:
      UserError: If it cannot be written, or something has appeared there in
        the meantime.
    """
    summary = self.summary()
    self._write_skipped()
    with self._writing():
      for statement in _FINISH:
        self._database.execute(statement)
      self._database.execute('COMMIT')
    self._database.close()
    metadata = {
      'version': store.VERSION,
      **self._settings,
      'sample_rate': features.SAMPLE_RATE,
      'clients': len(summary.client_seconds),
      'utterances': summary.utterances,
      'seconds': float(summary.client_seconds.sum()),
      'words': summary.words,
      'skipped': summary.skipped,
    }
    (self.partial / store.METADATA).write_text(
      json.dumps(metadata, indent=2) + '\n'
    )
    _sync(self.partial)
    try:
      self.partial.rename(self._path)
    except OSError as error:
      raise errors.UserError(
        f'{self._path} appeared while the store was written: {error.strerror}.'
      ) from error
    self._resources.close()
    return summary

  def _write_skipped(self) -> None:
    rows: Iterator[tuple] = self._database.execute(
      'SELECT client_id, utterance_id, reason, detail FROM skipped'
      ' ORDER BY number'
    )
    with open(self.partial / store.SKIPPED, 'w', encoding='utf-8') as file:
      print(
        'client_id', 'utterance_id', 'reason', 'detail', sep='\t', file=file
      )
      for row in rows:
        print(*(' '.join(field.split()) for field in row), sep='\t', file=file)


def _storable(text: str) -> str:
  """A name that the file system gave may hold what UTF-8 cannot write."""
  return text.encode('utf-8', 'backslashreplace').decode()


def _sync(folder: pathlib.Path) -> None:
  """Brings the files of a folder to the disk."""
  for path in [*folder.iterdir(), folder]:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
