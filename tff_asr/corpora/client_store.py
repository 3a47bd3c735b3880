"""The client store: a folder that holds a corpus by client.

* `clients.sqlite`: the utterances as `tf.train.Example` records, indexed by
  client and length. Finding a client takes milliseconds for any size of the
  store. Views offer the tables that TFF's own
  `tff.simulation.datasets.load_and_parse_sql_client_data` reads.
* `store.json`: format version, vocabulary, figures, the store's name.
* `skipped.tsv`: the skipped utterances, each with the reason.
* `clients.png`: the distribution of the audio over the clients.
* `checksums.txt`: check sums of all these files.

TFF's writer, `save_to_sql_client_data`, makes no index (each client would read
the whole file), needs a `tf.data.Dataset` for each client, and cannot record
skipped utterances. TFF's reader cannot read part of a client with thousands of
utterances.

A store appears under its name only when it is complete, and never changes.
"""

from collections.abc import Iterable, Iterator, Sequence
import contextlib
import hashlib
import itertools
import json
import pathlib
import sqlite3
import threading

import numpy as np
import tensorflow as tf

from tff_asr import checksums, counts, errors, text_files, tracing
from tff_asr.audio import features
from tff_asr.corpora import queries, store_names
from tff_asr.text import vocabularies, vocabulary_loading

VERSION = 3
DATABASE = 'clients.sqlite'
METADATA = 'store.json'
SKIPPED = 'skipped.tsv'
PLOT = 'clients.png'

# Forms of a stored utterance: `audio`, PCM of 16 bits, or `features`, log-mel
# in float32; both little-endian.  `tokens` are int32; text is in UTF-8.
KINDS = ('audio', 'features')

_ALL = 1_000_000  # More records than any client has.
_AT_ONCE = 32  # Records of a stream that are in memory.
_STRING = tf.TensorSpec((), tf.string)
RECORD_SPECS = {
  kind: {name: _STRING for name in (kind, 'tokens', 'text', 'utterance_id')}
  for kind in KINDS
}


class ClientStore:
  """A client store opened for reading.

  Attributes:
    path: Folder of the store.
    kind: Form of the utterances, one of `KINDS`.
    client_ids: The clients, sorted.
    vocabulary: Vocabulary of the texts.
    seconds: Length of all audio in seconds.
    client_seconds: Length of each client's audio in seconds.
    name: Random name of the store; `None` for a store of an earlier release,
      until `give_name`.
    digest: Hash of the content, which tells apart corpora at the same path. It
      depends on the data of every client: models, and other files that a user
      hands on, must not contain it.
  """

  def __init__(self, path: pathlib.Path):
    """Opens a store.

    Raises:
      UserError: If `path` has no store, or a damaged one, or a store of another
        version.
    """
    self.path = path
    metadata = _read_metadata(path)
    self.vocabulary = _vocabulary(path, metadata)
    self.kind: str = metadata['kind']
    self.seconds: float = metadata['seconds']
    database = path / DATABASE
    try:
      with self._connect() as connection:
        rows = connection.execute(
          'SELECT client_id, samples FROM clients ORDER BY client_id'
        ).fetchall()
        connection.execute('SELECT record FROM records LIMIT 1').fetchone()
      self.client_ids: list[str] = [client_id for client_id, _ in rows]
      self.client_seconds: dict[str, float] = {
        client_id: samples / features.SAMPLE_RATE for client_id, samples in rows
      }
    except (sqlite3.Error, TypeError) as error:
      raise errors.UserError(
        f'{database} cannot be read ({error}): prepare the store again.'
      ) from error
    self.name = store_names.read(path, metadata)
    self._content = metadata['content']
    content = {k: v for k, v in metadata.items() if k != store_names.KEY}
    self.digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    if len(self.client_ids) != metadata['clients']:
      raise errors.UserError(
        f'{database} has {counts.text(len(self.client_ids), "client")} where'
        f' {METADATA} has {metadata["clients"]}: prepare the store again.'
      )

  def give_name(self) -> str:
    """Returns the store's name; gives a name to a store of an earlier release.

    Raises:
      UserError: If the store has no name and its folder cannot be written.
    """
    if self.name is None:
      self.name = store_names.give(self.path)
    return self.name

  def check_content(self, stop: threading.Event | None = None) -> None:
    """Checks that no record has changed; reads the whole store.

    Args:
      stop: Ends the check without a result once it is set.

    Raises:
      OSError: If the store cannot be read.
      UserError: If a record has changed.
    """
    database = self.path / DATABASE
    if checksums.is_listed(database):
      checksums.check(database, stop=stop)
      return
    with self._reading() as connection:
      found = content_hash(
        (client_id, hashlib.blake2b(record, digest_size=16).digest())
        for client_id, record in itertools.takewhile(
          lambda _: not (stop and stop.is_set()),
          connection.execute(
            'SELECT client_id, record FROM records ORDER BY number'
          ),
        )
      )
    errors.require(
      found == self._content or bool(stop and stop.is_set()),
      f'{database} is not the database that {METADATA} beside it describes:'
      ' restore it from a copy, or prepare the store again.',
    )

  def _connect(self) -> contextlib.closing[sqlite3.Connection]:
    uri = f'{(self.path / DATABASE).absolute().as_uri()}?mode=ro'
    return contextlib.closing(sqlite3.connect(uri, uri=True))

  def check_can_be_read(self) -> None:
    """Raises a `UserError` unless the database can be opened now."""
    with self._reading() as connection:
      connection.execute('SELECT number FROM records LIMIT 1').fetchone()

  @tracing.unconverted
  def records(
    self,
    client_id: tf.Tensor,
    limits: Sequence[queries.Limit] = (),
    seed: tf.Tensor | None = None,
  ) -> tf.data.Dataset:
    """Returns a stream of one client's records, shortest first.

    A few records are in memory at a time.

    Args:
      client_id: string `[]`, eager or symbolic.
      limits: Limits of the draw from a client with more audio, see
        `all_records`.
      seed: Seed of the draw, see `all_records`.

    Returns:
      Elements as in `RECORD_SPECS[self.kind]`.
    """
    return (
      tf.data.Dataset.from_tensor_slices(
        self._read(client_id, limits, seed, queries.themselves, tf.int64)
      )
      .batch(_AT_ONCE)
      .map(self._records)
      .unbatch()
      .map(lambda record: tf.io.parse_single_example(record, self._parsing))
    )

  @tracing.unconverted
  def all_records(
    self,
    client_id: tf.Tensor,
    limits: Sequence[queries.Limit] = (),
    seed: tf.Tensor | None = None,
    portable: bool = False,
  ) -> dict[str, tf.Tensor]:
    """Returns all records of one client, shortest first, as one batch.

    The graph has no dataset function, because TensorFlow would build one for
    each client.

    Args:
      client_id: string `[]`, eager or symbolic.
      limits: Limits of the draw from a client with more audio: utterances are
        drawn at random within all limits; the others are not read.
      seed: int32 `[2]`, not negative, seed of the draw.  By default SQLite
        draws.
      portable: Whether the graph may run in another process.  It then uses
        TensorFlow's reader, which kills its process if it cannot open the
        database.

    Returns:
      string `[records]` each, named as in `RECORD_SPECS[self.kind]`.

    Raises:
      UserError: If the database cannot be read; within a graph, TensorFlow's
        `OpError` with the same message.
    """
    if portable:
      serialized = self._read_by_tensorflow(client_id, limits, seed)
    else:
      serialized = self._read(
        client_id, limits, seed, queries.records_of, tf.string
      )
    return tf.io.parse_example(serialized, self._parsing)

  @property
  def _parsing(self) -> dict[str, tf.io.FixedLenFeature]:
    return {
      name: tf.io.FixedLenFeature((), tf.string)
      for name in RECORD_SPECS[self.kind]
    }

  def _read(
    self,
    client_id,
    limits,
    seed,
    of_numbers: queries.OfNumbers,
    dtype: tf.DType,
  ) -> tf.Tensor:
    """Calls `of_numbers` with the numbers of a client's records, in order."""
    query = queries.numbers_query(limits, seed is not None)

    def read(client_id: bytes, *seed: np.ndarray) -> np.ndarray:
      values = {f'seed{i}': int(n) for i, n in enumerate(np.ravel(seed))}
      values['client'] = client_id.decode()
      with self._reading() as connection:
        rows = connection.execute(query, values).fetchall()
        return of_numbers(connection, [number for (number,) in rows])

    arguments = [client_id] if seed is None else [client_id, seed]
    return queries.in_python(read, arguments, dtype)

  def _records(self, numbers: tf.Tensor) -> tf.Tensor:
    """Returns the records of numbers, string `[records]`."""

    def read(numbers: np.ndarray) -> np.ndarray:
      with self._reading() as connection:
        return queries.records_of(connection, numbers)

    return queries.in_python(read, [numbers], tf.string)

  @contextlib.contextmanager
  def _reading(self) -> Iterator[sqlite3.Connection]:
    """Opens the database; an error of SQLite becomes a `UserError`."""
    try:
      with self._connect() as connection:
        yield connection
    except sqlite3.Error as error:
      raise errors.UserError(
        f'{self.path / DATABASE} cannot be read: {error}.'
      ) from error

  def _read_by_tensorflow(self, client_id, limits, seed) -> tf.Tensor:
    """Reads a client's records in a graph without Python functions."""
    query = queries.records_query(limits, client_id, seed)
    none = tf.data.Dataset.from_tensors((tf.zeros([0], tf.string),))
    (serialized,) = (
      tf.data.experimental.SqlDataset(
        'sqlite', str(self.path / DATABASE), query, (tf.string,)
      )
      .batch(_ALL)
      .concatenate(none)
      .take(1)
      .get_single_element()
    )
    return serialized


def content_hash(records: Iterable[tuple[str, bytes]]) -> str:
  """Returns the hash of a store's content.

  Args:
    records: Client and digest of each record, in order.
  """
  content = ''
  for client_id, record_digest in records:
    so_far = f'{content}\t{client_id}\t'.encode()
    content = hashlib.sha256(so_far + record_digest).hexdigest()
  return content


def _read_metadata(path: pathlib.Path) -> dict:
  if not path.is_dir():
    raise errors.UserError(
      f'There is no client store at {path}: make one with the prepare command.'
    )
  try:
    metadata = text_files.read_json(path / METADATA)
    version = metadata['version']
    if version == VERSION:
      for name in ('vocabulary', 'kind', 'seconds', 'clients', 'content'):
        _ = metadata[name]
  except errors.UserError:
    raise
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'{path} is not a client store (no valid {METADATA}): make one with the'
      ' prepare command.'
    ) from error
  if version != VERSION:
    raise errors.UserError(
      f'{path} is a store of version {version}, but this release reads version'
      f' {VERSION}: prepare the store again.'
    )
  return metadata


def _vocabulary(path: pathlib.Path, metadata: dict) -> vocabularies.Vocabulary:
  try:
    return vocabulary_loading.from_json(metadata['vocabulary'])
  except ValueError as error:
    raise errors.UserError(
      f'The vocabulary of {path} cannot be read ({error}): prepare the store'
      ' again.'
    ) from error
