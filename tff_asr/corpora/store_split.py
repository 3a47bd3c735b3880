"""Splitting of held-out speakers off a store, before it is published.

It is done last, among those who have utterances to be evaluated on, and what
was decoded is kept whatever comes of it.
"""

from collections.abc import Iterable
import json
import pathlib
import sqlite3

from tff_asr import errors
from tff_asr.corpora import client_store, store_writer
from tff_asr.corpora import holdout as holdout_lib

_RECORD = (
  'client_id, utterance_id, samples, words, audio_digest, record_digest, record'
)
_INSERT_RECORD = 'INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)'
_INSERT_SKIPPED = 'INSERT INTO skipped VALUES (?, ?, ?, ?, ?)'


def path_of(output: pathlib.Path) -> pathlib.Path:
  """Returns where the held-out part of a store is to be."""
  return output.with_name(f'{output.name}-holdout')


def check_whole(writer: store_writer.StoreWriter) -> None:
  """Checks that nothing was split off a store that is to have all.

  Raises:
    UserError: If an earlier call was stopped when it had held speakers out.
  """
  errors.require(not writer.split, _split_otherwise(writer))


def _split_otherwise(writer: store_writer.StoreWriter) -> str:
  return (
    f'{writer.partial} was split with another --holdout_clients or --seed: give'
    ' the same flags to go on, or remove that folder to start again.'
  )


def split(
  writer: store_writer.StoreWriter, holdout: holdout_lib.Holdout
) -> store_writer.StoreWriter | None:
  """Moves held-out speakers from a store to one of their own.

  Audio that a held-out speaker has as well is left out of the store that they
  are moved from, where it would be trained on. So it does not matter in which
  order the items came. Nothing that the others have changes the held-out store.

  Args:
    writer: The store, with all its items.
    holdout: Which speakers are held out.

  Returns:
    The store of the held-out speakers, `None` if an earlier call has published
    it.

  Raises:
    UserError: If nobody would be held out, nothing would be left, the store was
      split otherwise before, or it cannot be written.
  """
  path = path_of(writer.path)
  key = json.dumps([holdout.clients, holdout.seed])
  if writer.split:
    errors.require(writer.split == key, _split_otherwise(writer))
    if path.exists():
      return None
    if not (store_writer.partial_of(path) / client_store.DATABASE).exists():
      raise errors.UserError(
        f'{store_writer.partial_of(path)} is gone, which holds what was split'
        f' off {writer.partial}: remove that folder, too, to start again.'
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
  """A new store for what is split off, in place of what a killed call left."""
  origin = f'from {writer.name}'
  held = store_writer.StoreWriter(path, writer.settings)
  if held.position:
    if held.split != origin:
      held.close()
      raise errors.UserError(
        f'Another call has begun {held.partial}: remove that folder, or give'
        ' another --output.'
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
  """Copies what speakers have, numbered anew: others had numbers between."""
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
  """Removes what was split off, and audio that is there, too."""
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
      'All that the other speakers said is among what the held-out speakers'
      ' said: hold out others, by another --holdout_clients or --seed.'
    )
  database.execute('DROP TABLE held_out')
