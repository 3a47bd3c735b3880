"""The client store: a folder that holds a corpus by client.

* `clients.sqlite`: the utterances as `tf.train.Example` records, in the tables
  that `tff.simulation.datasets.SqlClientData` reads.  Records of a client are
  sorted by length, so that batches of neighbours need little padding.
* `store.json`: format version, alphabet, figures.
* `skipped.tsv`: what the reader found and left out, with the reason.

The tables are written here, not by `save_to_sql_client_data`: that one has no
index (every client would read the whole file), needs a `tf.data.Dataset` for
each client, and cannot record what was skipped.

A store appears under its name only when it is complete, and is never changed.
"""

import collections
from collections.abc import Iterable
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import sqlite3

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import errors
from tff_asr.audio import features
from tff_asr.corpora import utterance as utterance_lib
from tff_asr.text import vocabulary

VERSION = 1
_DATABASE = 'clients.sqlite'
_METADATA = 'store.json'
_SKIPPED = 'skipped.tsv'
_SPLIT = 'all'

# A record: PCM of 16 bits, little-endian; text and name in UTF-8.
RECORD_SPEC = {
  name: tf.TensorSpec((), tf.string)
  for name in ('audio', 'text', 'utterance_id')
}


@dataclasses.dataclass(frozen=True)
class Summary:
  """What went into a store.

  Attributes:
    clients: Number of speakers with at least one utterance.
    utterances: Number of utterances.
    seconds: Length of all audio.
    words: Number of words.
    skipped: Number of utterances left out, by reason.
  """

  clients: int
  utterances: int
  seconds: float
  words: int
  skipped: dict[str, int]


def write(
  path: pathlib.Path,
  utterances: Iterable[utterance_lib.Utterance | utterance_lib.Skipped],
  source: str,
  characters: str = vocabulary.ENGLISH,
  max_seconds: float = 30.0,
) -> Summary:
  """Writes a store; utterances that no model can learn from are left out.

  Args:
    path: Where the store is to be; must not exist.
    utterances: In any order of speakers.
    source: What the corpus is, for the record.
    characters: The alphabet.
    max_seconds: Longer utterances are left out.

  Raises:
    UserError: If something is at `path` already, or no utterance is left.
  """
  if path.exists():
    raise errors.UserError(
      f'{path} exists already: remove it, or give another --output.'
    )
  aside = path.with_name(f'{path.name}.partial-{os.getpid()}')
  aside.mkdir(parents=True)
  try:
    summary = _write_into(
      aside,
      utterances,
      vocabulary.CharacterVocabulary(characters),
      max_seconds,
    )
    metadata = dict(
      version=VERSION,
      source=source,
      characters=characters,
      sample_rate=features.SAMPLE_RATE,
      **dataclasses.asdict(summary),
    )
    (aside / _METADATA).write_text(json.dumps(metadata, indent=2) + '\n')
    if not summary.utterances:
      reasons = ', '.join(f'{n} {r}' for r, n in summary.skipped.items())
      raise errors.UserError(
        f'No usable utterance in {source}: {reasons or "it is empty"}.'
      )
    _rename(aside, path)
    return summary
  finally:
    shutil.rmtree(aside, ignore_errors=True)


def _rename(aside: pathlib.Path, path: pathlib.Path) -> None:
  try:
    aside.rename(path)
  except OSError as error:
    raise errors.UserError(
      f'{path} appeared while the store was written: {error.strerror}.'
    ) from error


def _write_into(folder, utterances, characters, max_seconds) -> Summary:
  seconds, words = 0.0, 0
  skipped: collections.Counter[str] = collections.Counter()
  seen: set[str] = set()
  database = sqlite3.connect(folder / _DATABASE)
  with (
    database,
    open(
      folder / _SKIPPED, 'w', encoding='utf-8', errors='backslashreplace'
    ) as skipped_file,
  ):
    database.execute(
      'CREATE TABLE incoming (client_id TEXT, samples INTEGER,'
      ' utterance_id TEXT, record BLOB)'
    )
    for item in utterances:
      if isinstance(item, utterance_lib.Utterance):
        if item.utterance_id in seen:
          item = utterance_lib.Skipped(
            item.client_id, item.utterance_id, 'name given twice'
          )
        else:
          item = utterance_lib.check(item, characters, max_seconds)
      seen.add(item.utterance_id)
      if isinstance(item, utterance_lib.Skipped):
        skipped[item.reason] += 1
        row = (item.client_id, item.utterance_id, item.reason, item.detail)
        print(*row, sep='\t', file=skipped_file)
        continue
      seconds += item.seconds
      words += len(item.text.split())
      database.execute(
        'INSERT INTO incoming VALUES (?, ?, ?, ?)',
        (
          item.client_id,
          len(item.audio),
          item.utterance_id,
          _serialize(item),
        ),
      )
    for statement in _FINAL_TABLES:
      database.execute(statement)
    ((clients, count),) = database.execute(
      'SELECT COUNT(*), TOTAL(num_examples) FROM client_metadata'
    )
  database.execute('VACUUM')
  database.close()
  return Summary(
    clients, int(count), seconds, words, dict(skipped.most_common())
  )


# The columns that TFF documents, in the order in which they are to be read.
_FINAL_TABLES = (
  'CREATE TABLE examples (split_name TEXT NOT NULL, client_id TEXT NOT NULL,'
  ' serialized_example_proto BLOB NOT NULL)',
  f"INSERT INTO examples SELECT '{_SPLIT}', client_id, record FROM incoming"
  ' ORDER BY client_id, samples, utterance_id',
  'DROP TABLE incoming',
  'CREATE INDEX examples_by_client ON examples (client_id)',
  'CREATE TABLE client_metadata (client_id TEXT NOT NULL,'
  ' split_name TEXT NOT NULL, num_examples INTEGER NOT NULL)',
  f"INSERT INTO client_metadata SELECT client_id, '{_SPLIT}', COUNT(*)"
  ' FROM examples GROUP BY client_id',
)


def _serialize(item: utterance_lib.Utterance) -> bytes:
  values = {
    'audio': item.audio.astype('<i2').tobytes(),
    'text': item.text.encode(),
    'utterance_id': item.utterance_id.encode(),
  }
  return tf.train.Example(
    features=tf.train.Features(
      feature={
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in values.items()
      }
    )
  ).SerializeToString()


class ClientStore:
  """A store opened for reading.

  Attributes:
    path: Its folder.
    client_ids: Its clients, sorted.
    vocabulary: The alphabet its texts are written in.
    seconds: Length of all audio.
    digest: Name of its content: another corpus at the same path has another.
  """

  def __init__(self, path: pathlib.Path):
    """Opens a store.

    Raises:
      UserError: If there is none at `path`, it is damaged, or of another
        version.
    """
    self.path = path
    metadata = _read_metadata(path)
    self.vocabulary = vocabulary.CharacterVocabulary(metadata['characters'])
    self.seconds: float = metadata['seconds']
    content = json.dumps(metadata, sort_keys=True)
    database = path / _DATABASE
    try:
      self._client_data = (
        tff.simulation.datasets.load_and_parse_sql_client_data(
          str(database), RECORD_SPEC
        )
      )
    except (
      Exception
    ) as error:  # SQLite, TFF and the file system each have theirs.
      raise errors.UserError(
        f'{database} cannot be read ({error}): prepare the store again.'
      ) from error
    self.client_ids: list[str] = list(self._client_data.client_ids)
    content += '\n'.join(self.client_ids)
    self.digest = hashlib.sha256(content.encode()).hexdigest()
    if len(self.client_ids) != metadata['clients']:
      raise errors.UserError(
        f'{database} has {len(self.client_ids)} clients where {_METADATA} says'
        f' {metadata["clients"]}: prepare the store again.'
      )

  @property
  def client_data(self) -> tff.simulation.datasets.ClientData:
    """The records by client, elements as in `RECORD_SPEC`."""
    return self._client_data

  def utterances(self, client_id: str) -> list[utterance_lib.Utterance]:
    """Returns a client's utterances, shortest first."""
    # A tf.data.Dataset for every client would cost far more time and memory.
    with contextlib.closing(sqlite3.connect(self.path / _DATABASE)) as database:
      rows = database.execute(
        'SELECT serialized_example_proto FROM examples WHERE client_id = ?'
        ' ORDER BY rowid',
        (client_id,),
      ).fetchall()
    return [_parse(client_id, record) for (record,) in rows]


def _parse(client_id: str, record: bytes) -> utterance_lib.Utterance:
  """The inverse of `_serialize`."""
  values = tf.train.Example.FromString(record).features.feature
  audio, text, utterance_id = (
    values[name].bytes_list.value[0]
    for name in ('audio', 'text', 'utterance_id')
  )
  return utterance_lib.Utterance(
    client_id,
    utterance_id.decode(),
    np.frombuffer(audio, '<i2').astype(np.int16),
    text.decode(),
  )


def _read_metadata(path: pathlib.Path) -> dict:
  if not path.is_dir():
    raise errors.UserError(
      f'There is no client store at {path}: make one with //pipelines:prepare.'
    )
  try:
    metadata = json.loads((path / _METADATA).read_text())
    version = metadata['version']
    if version == VERSION:
      for name in ('characters', 'seconds', 'clients'):
        _ = metadata[name]
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'{path} is no client store (no valid {_METADATA}): make one with'
      ' //pipelines:prepare.'
    ) from error
  if version != VERSION:
    raise errors.UserError(
      f'{path} is a store of version {version}, this release reads version'
      f' {VERSION}: prepare it again.'
    )
  return metadata
