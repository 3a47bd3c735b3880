"""The writer of client stores; `client_store.py` describes their files.

An incomplete store is a folder `NAME.partial`.  An interrupted or killed writer
leaves this folder behind, and the next writer resumes from it.
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

from tff_asr import checksums, durable, errors
from tff_asr.audio import features
from tff_asr.corpora import client_store, store_names, store_summary, utterance

_COMMIT_SECONDS = 2.0
# Settings of a store that the user knows by other names.
_WORDS = {'kind': '`store`', 'source': 'corpus, or other settings of it'}
_TABLES = (
  'CREATE TABLE records (number INTEGER PRIMARY KEY, client_id TEXT NOT NULL,'
  ' utterance_id TEXT NOT NULL, samples INTEGER NOT NULL,'
  ' words INTEGER NOT NULL, audio_digest BLOB NOT NULL,'
  ' record_digest BLOB NOT NULL, record BLOB NOT NULL,'
  ' UNIQUE (client_id, utterance_id))',
  'CREATE INDEX records_by_audio ON records (audio_digest, client_id)',
  'CREATE TABLE skipped (number INTEGER PRIMARY KEY, client_id TEXT,'
  ' utterance_id TEXT, reason TEXT, detail TEXT)',
  'CREATE TABLE progress (position INTEGER, fingerprint TEXT, settings TEXT,'
  ' name TEXT, split TEXT)',
  # Views for TFF's own `load_and_parse_sql_client_data`.
  "CREATE VIEW examples AS SELECT 'all' AS split_name, client_id,"
  ' record AS serialized_example_proto FROM records'
  ' ORDER BY client_id, samples, number',
  "CREATE VIEW client_metadata AS SELECT client_id, 'all' AS split_name,"
  ' utterances AS num_examples FROM clients',
)
# Executed after the last record, and again if an earlier call was interrupted
# before the publication.
_INDEX = (
  'CREATE INDEX IF NOT EXISTS records_by_client'
  ' ON records (client_id, samples)',
  'DROP TABLE IF EXISTS clients',
  'CREATE TABLE clients AS SELECT client_id, COUNT(*) AS utterances,'
  ' SUM(samples) AS samples, SUM(words) AS words'
  ' FROM records GROUP BY client_id',
)


class InUseError(errors.UserError):
  """An error: another process writes this store, or has just finished it."""


@dataclasses.dataclass(frozen=True)
class Entry:
  """An utterance to store.

  Attributes:
    client_id: The speaker.
    utterance_id: Name in the corpus, unique among the speaker's utterances.
    samples: Length of the audio in samples, at 16 kHz.
    words: Number of words.
    audio_digest: Hash of the audio.
    record: A serialised `tf.train.Example`, see `client_store.RECORD_SPECS`.
    record_digest: Hash of the record.
  """

  client_id: str
  utterance_id: str
  samples: int
  words: int
  audio_digest: bytes
  record: bytes
  record_digest: bytes


class StoreWriter:
  """A writer of one store.

  Items have numbers from 0, in an order that is the same in every run.

  Attributes:
    path: Folder of the complete store.
    settings: Settings that decide the content.
    partial: Folder of the incomplete store.
    name: Random name of the store, see `store_names`.
    position: Number of the next item.
    resumed_from: Value of `position` at the start of this writer.
    split: Description of the split of held-out speakers, `''` without a split.
  """

  def __init__(self, path: pathlib.Path, settings: Mapping[str, object]):
    """Begins a store, or resumes an incomplete store.

    Args:
      path: Folder of the complete store; must not exist.
      settings: Settings that decide the content, for `store.json`.

    Raises:
      InUseError: If another process writes the store.
      UserError: If `path` exists, or if the incomplete store was begun with
        other settings.
    """
    if path.exists():
      raise errors.UserError(
        f'{path} exists already: remove it, or give another `output`.'
      )
    self.path = path
    self.settings = {'version': client_store.VERSION, **settings}
    self.partial = partial_of(path)
    self.partial.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as resources:
      self._take_lock(resources)
      path = self.partial / client_store.DATABASE
      self._database = sqlite3.connect(path, isolation_level=None)
      resources.callback(self._database.close)
      self._begin()
      self._resume()
      self._resources = resources.pop_all()
    self._committed = time.monotonic()

  def _take_lock(self, resources: contextlib.ExitStack) -> None:
    folder = os.open(self.partial, os.O_RDONLY)
    resources.callback(os.close, folder)
    try:
      fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise InUseError(
        f'Another call writes {self.path} just now: wait for it, or give'
        ' another `output`.'
      ) from error
    if self.path.exists():  # Another writer was faster.
      with contextlib.suppress(OSError):
        self.partial.rmdir()
      raise InUseError(f'Another call has just made {self.path}.')

  def _begin(self) -> None:
    database = self._database
    try:
      database.execute('PRAGMA cache_size = -65536')
      # A split can then free the space of the held-out speakers.
      database.execute('PRAGMA auto_vacuum = INCREMENTAL')
      database.execute('BEGIN')
      if not database.execute('SELECT 1 FROM sqlite_master').fetchone():
        for statement in _TABLES:
          database.execute(statement)
        database.execute(
          "INSERT INTO progress VALUES (0, '', ?, ?, '')",
          (json.dumps(self.settings), store_names.new()),
        )
    except sqlite3.DatabaseError as error:
      raise self._unusable(error) from error

  def _unusable(self, error: Exception) -> errors.UserError:
    what = 'make room' if durable.is_full(error) else f'remove {self.partial}'
    return errors.UserError(
      f'{self.partial / client_store.DATABASE} cannot be used ({error}):'
      f' {what}.'
    )

  def _resume(self) -> None:
    try:
      (row,) = self._database.execute(
        'SELECT position, fingerprint, settings, name, split FROM progress'
      )
    except (sqlite3.Error, ValueError) as error:  # Another release's store.
      raise self._unusable(error) from error
    self.position, self._fingerprint, settings, self.name, self.split = row
    self.resumed_from = self.position
    begun = json.loads(settings)
    for name in begun | self.settings:
      if begun.get(name) != self.settings.get(name):
        words = _WORDS.get(name, f'`{name}`')
        raise errors.UserError(
          f'{self.partial} was begun with another {words}:'
          ' give the same settings to resume, or remove that folder to start'
          ' again.'
        )

  def check(self, number: int, fingerprint: str, is_last: bool = False) -> None:
    """Checks that the first items are the same as in an earlier run.

    Call this for each number of items, before the next item is added.

    Args:
      number: A number of items.
      fingerprint: Fingerprint of the first `number` items.
      is_last: Whether the corpus has no more items.

    Raises:
      UserError: If the items differ.
    """
    if number == self.resumed_from:
      changed = number > 0 and fingerprint != self._fingerprint
      changed |= bool(self.split) and not is_last
    else:
      changed = is_last and number < self.resumed_from
    if changed:
      raise errors.UserError(
        f'The corpus has changed since {self.partial} was begun: remove that'
        ' folder to start again.'
      )

  def add(self, fingerprint: str, item: Entry | utterance.Skipped) -> None:
    """Writes the next item.

    Args:
      fingerprint: Fingerprint of all items up to this one.
      item: The item.

    Raises:
      UserError: If the item cannot be written.
    """
    with self.writing():
      if isinstance(item, Entry):
        item = self._insert(item)
      if item:
        self._database.execute(
          'INSERT INTO skipped VALUES (?, ?, ?, ?, ?)',
          (
            self.position,
            *map(_storable, (item.client_id, item.utterance_id)),
            *map(_storable, (item.reason, item.detail)),
          ),
        )
      self.position, self._fingerprint = self.position + 1, fingerprint
      if time.monotonic() - self._committed > _COMMIT_SECONDS:
        self.commit()

  @contextlib.contextmanager
  def writing(self) -> Iterator[sqlite3.Connection]:
    """Yields the database; an error rolls back to the last commit.

    So only whole items are committed, at whatever point an interrupt comes.

    Raises:
      UserError: If the database cannot be written.
    """
    try:
      yield self._database
    except BaseException as error:
      if self._database.in_transaction:
        self._database.rollback()
      if isinstance(error, sqlite3.Error | OSError):
        raise errors.UserError(
          f'{self.partial} cannot be written ({error}): make room, then repeat'
          ' the command to resume.'
        ) from error
      raise

  def _insert(self, entry: Entry) -> utterance.Skipped | None:
    done = self._database.execute(
      'INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      (
        self.position,
        entry.client_id,
        entry.utterance_id,
        entry.samples,
        entry.words,
        entry.audio_digest,
        entry.record_digest,
        entry.record,
      ),
    )
    if done.rowcount:
      return None
    return utterance.Skipped(
      entry.client_id, entry.utterance_id, 'name given twice'
    )

  def commit(self) -> None:
    """Commits all items so far; they outlive this process."""
    self._database.execute(
      'UPDATE progress SET position = ?, fingerprint = ?, split = ?',
      (self.position, self._fingerprint, self.split),
    )
    self._database.execute('COMMIT')
    self._database.execute('BEGIN')
    self._committed = time.monotonic()

  def close(self) -> None:
    """Closes the writer; a later writer can resume from the written items."""
    if not self.position:
      self.discard()
    with contextlib.suppress(sqlite3.Error):  # A full disk, or closed already.
      if self._database.in_transaction:
        self.commit()
    self._resources.close()

  def summary(self) -> store_summary.Summary:
    """Returns a summary of the written items."""
    return store_summary.of_database(self.path, self._database)

  def discard(self) -> None:
    """Removes the incomplete store."""
    self._database.close()
    shutil.rmtree(self.partial)
    self._resources.close()

  def complete(
    self, files: Mapping[str, bytes], settings: Mapping[str, object]
  ) -> None:
    """Writes all files of the complete store to the disk.

    Args:
      files: Files to add to the store, by name.
      settings: More settings that decided the content, for `store.json`.

    Raises:
      UserError: If a file cannot be written.
    """
    summary = self.summary()
    metadata = {
      **self.settings,
      **settings,
      'sample_rate': features.SAMPLE_RATE,
      'clients': len(summary.client_seconds),
      'utterances': summary.utterances,
      'seconds': float(summary.client_seconds.sum()),
      'words': summary.words,
      'skipped': summary.skipped,
      'content': client_store.content_hash(
        self._database.execute(
          'SELECT client_id, record_digest FROM records ORDER BY number'
        )
      ),
      store_names.KEY: self.name,
    }
    with self.writing() as database:
      self.commit()
      # `execute` would free only one page.
      database.executescript('PRAGMA incremental_vacuum; BEGIN')
      for statement in _INDEX:
        database.execute(statement)
      self.commit()
      self._write_skipped()
      for name, contents in files.items():
        (self.partial / name).write_bytes(contents)
      (self.partial / client_store.METADATA).write_text(
        json.dumps(metadata, indent=2) + '\n'
      )
      checksums.write_all(self.partial)
      durable.sync_tree(self.partial)

  def publish(self) -> None:
    """Renames the complete store to its final path.

    Raises:
      UserError: If the path exists now.
    """
    self._database.close()
    try:
      durable.rename(self.partial, self.path)
    except OSError as error:
      raise errors.UserError(
        f'{self.path} appeared while the store was written: {error.strerror}.'
      ) from error
    self._resources.close()

  def _write_skipped(self) -> None:
    rows: Iterator[tuple] = self._database.execute(
      'SELECT client_id, utterance_id, reason, detail FROM skipped'
      ' ORDER BY number'
    )
    with open(
      self.partial / client_store.SKIPPED, 'w', encoding='utf-8'
    ) as file:
      print(
        'client_id', 'utterance_id', 'reason', 'detail', sep='\t', file=file
      )
      for row in rows:
        print(*(' '.join(field.split()) for field in row), sep='\t', file=file)


def partial_of(path: pathlib.Path) -> pathlib.Path:
  """Returns the folder of the incomplete store of `path`."""
  return path.with_name(f'{path.name}.partial')


def _storable(text: str) -> str:
  """Returns text in UTF-8; a file name may contain surrogates."""
  return text.encode('utf-8', 'backslashreplace').decode()
