"""The split of held-out speakers from a store, before its publication.

The split is the last step: it draws among the speakers with usable utterances,
and an impossible draw does not lose the decoded audio.
"""

from collections.abc import Iterable
import json
import pathlib
import sqlite3

from tff_asr import errors
from tff_asr.corpora import client_store, holdouts, store_writer

_RECORD = (
  'client_id, utterance_id, samples, words, audio_digest, record_digest, record'
)
_INSERT_RECORD = 'INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)'
_INSERT_SKIPPED = 'INSERT INTO skipped VALUES (?, ?, ?, ?, ?)'


def path_of(output: pathlib.Path) -> pathlib.Path:
  """Returns the path of the store of the held-out speakers."""
  return output.with_name(f'{output.name}-holdout')


def check_whole(writer: store_writer.StoreWriter) -> None:
  """Checks that no earlier call has split a store.

  Raises:
    UserError: If an earlier, interrupted call has held out speakers.
  """
  errors.require(not writer.split, _split_otherwise(writer))


def _split_otherwise(writer: store_writer.StoreWriter) -> str:
  return (
    f'{writer.partial} was split with other `Holdout.clients` or another'
    ' `seed`: give the same settings to resume, or remove that folder to start'
    ' again.'
  )


def split(
  writer: store_writer.StoreWriter, holdout: holdouts.Holdout
) -> store_writer.StoreWriter | None:
  """Moves held-out speakers from a store to a store of their own.

  Training speakers lose audio that a held-out speaker has, too, in any order of
  the items. The training speakers do not influence the store of the held-out
  speakers.

  Args:
    writer: The store with all its items.
    holdout: The draw of the held-out speakers.

  Returns:
    The store of the held-out speakers, `None` if an earlier call has published
    it.

  Raises:
    UserError: If one of the two stores would be empty, if an earlier call has
      split the store by another draw, or if a store cannot be written.
  """
  path = path_of(writer.path)
  key = json.dumps([holdout.clients, holdout.seed])
  if writer.split:
    errors.require(writer.split == key, _split_otherwise(writer))
    if path.exists():
      return None
    if not (store_writer.partial_of(path) / client_store.DATABASE).exists():
      raise errors.UserError(
        f'{store_writer.partial_of(path)} with the held-out speakers is'
        f' missing: to start again, remove {writer.partial} as well.'
      )
    return store_writer.StoreWriter(path, writer.settings)
  with writer.writing():
    writer.commit()
  held = _empty(path, writer)
  try:
    with writer.writing() as database:
      found = database.execute('SELECT DISTINCT client_id FROM records')
      held_out = holdout.split(sorted(client_id for (client_id,) in found))
      _copy(database, held_out, held)
      _remove(database, held)
      writer.split = key
      writer.commit()
  except BaseException:
    writer.split = ''
    held.close()
    raise
  return held


def _empty(
  path: pathlib.Path, writer: store_writer.StoreWriter
) -> store_writer.StoreWriter:
  """Returns an empty store, in place of the remains of a killed call."""
  origin = f'from {writer.name}'
  held = store_writer.StoreWriter(path, writer.settings)
  if held.position:
    if held.split != origin:
      held.close()
      raise errors.UserError(
        f'Another call has begun {held.partial}: remove that folder, or give'
        ' another `output`.'
      )
    held.discard()
    held = store_writer.StoreWriter(path, writer.settings)
  held.split = origin
  return held


def _copy(
  database: sqlite3.Connection,
  held_out: Iterable[str],
  held: store_writer.StoreWriter,
) -> None:
  """Copies the items of held-out speakers, numbered consecutively."""
  database.execute('CREATE TEMP TABLE held_out (client_id TEXT PRIMARY KEY)')
  database.executemany(
    'INSERT INTO held_out VALUES (?)', ((name,) for name in held_out)
  )
  with held.writing() as theirs:
    for is_record, _, *row in database.execute(
      f'SELECT 1, number, {_RECORD} FROM records WHERE client_id IN held_out'
      ' UNION ALL SELECT 0, number, client_id, utterance_id, reason, detail,'
      ' NULL, NULL, NULL FROM skipped WHERE client_id IN held_out'
      ' ORDER BY number'
    ):
      if is_record:
        theirs.execute(_INSERT_RECORD, (held.position, *row))
      else:
        theirs.execute(_INSERT_SKIPPED, (held.position, *row[:4]))
      held.position += 1
    held.commit()


def _remove(
  database: sqlite3.Connection, held: store_writer.StoreWriter
) -> None:
  """Removes the items of held-out speakers, and audio shared with them."""
  for table in 'records', 'skipped':
    database.execute(f'DELETE FROM {table} WHERE client_id IN held_out')
  with held.writing() as theirs:
    for client_id, audio_digest in theirs.execute(
      'SELECT MIN(client_id), audio_digest FROM records GROUP BY audio_digest'
    ):
      database.execute(
        'INSERT INTO skipped SELECT number, client_id, utterance_id, ?, ?'
        ' FROM records WHERE audio_digest = ?',
        ('same audio under a held-out speaker', client_id, audio_digest),
      )
      database.execute(
        'DELETE FROM records WHERE audio_digest = ?', (audio_digest,)
      )
  if not database.execute('SELECT 1 FROM records').fetchone():
    raise errors.UserError(
      'Each training speaker shares all audio with held-out speakers: hold out'
      ' other speakers, by other `Holdout.clients` or another `seed`.'
    )
  database.execute('DROP TABLE held_out')
