"""The client store: a folder that holds a corpus by client.

* `clients.sqlite`: the utterances as `tf.train.Example` records, indexed by
  client and length, so that a client is found in milliseconds whatever the size
  of the store. Views give it the tables that TFF's own
  `tff.simulation.datasets.load_and_parse_sql_client_data` reads.
* `store.json`: format version, vocabulary, figures, the store's name.
* `skipped.tsv`: what the reader found and left out, with the reason.
* `clients.png`: how the audio is spread over the clients.
* `checksums.txt`: check sums of all of these.

TFF's writer, `save_to_sql_client_data`, has no index (every client would read
the whole file), needs a `tf.data.Dataset` for each client, and cannot record
what was skipped; its reader cannot leave out part of a client with thousands of
utterances.

A store appears under its name only when it is complete, and is never changed.
"""

from collections.abc import Sequence
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import sqlite3
import threading

import tensorflow as tf

from tff_asr import checksums, errors
from tff_asr.audio import features
from tff_asr.corpora import store_names
from tff_asr.text import vocabularies, vocabulary

VERSION = 3
DATABASE = 'clients.sqlite'
METADATA = 'store.json'
SKIPPED = 'skipped.tsv'
PLOT = 'clients.png'

# What an utterance is kept as: `audio`, PCM of 16 bits, or `features`, log-mel
# in float32; both little-endian.  `tokens` are int32; text is in UTF-8.
KINDS = ('audio', 'features')

_ALL = 1_000_000  # More records than a client has.
_STRING = tf.TensorSpec((), tf.string)
RECORD_SPECS = {
  kind: {name: _STRING for name in (kind, 'tokens', 'text', 'utterance_id')}
  for kind in KINDS
}


@dataclasses.dataclass(frozen=True)
class Limit:
  """How much is drawn of a client: utterances until they sum up to `seconds`.

  Attributes:
    seconds: The sum.
    longest: An utterance counts with at most this.
  """

  seconds: float
  longest: float = 1e9


class ClientStore:
  """A store opened for reading.

  Attributes:
    path: Its folder.
    kind: What utterances are kept as, one of `KINDS`.
    client_ids: Its clients, sorted.
    vocabulary: What its texts are written with.
    seconds: Length of all audio.
    client_seconds: That of each client's.
    name: Its random name; `None` for a store of an earlier release, until
      `give_name`.
    digest: Hash of its content: another corpus at the same path has another.
      It depends on every client's data: no model, nor what else is handed on,
      may have it.
  """

  def __init__(self, path: pathlib.Path):
    """Opens a store.

    Raises:
      UserError: If there is none at `path`, it is damaged, or of another
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
    content = {k: v for k, v in metadata.items() if k != store_names.KEY}
    self.digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    if len(self.client_ids) != metadata['clients']:
      raise errors.UserError(
        f'{database} has {len(self.client_ids)} clients where {METADATA} says'
        f' {metadata["clients"]}: prepare the store again.'
      )

  def give_name(self) -> str:
    """Returns the store's name; a store of an earlier release gets one now.

    Raises:
      UserError: If it has none and its folder cannot be written.
    """
    if self.name is None:
      self.name = store_names.give(self.path)
    return self.name

  def check_content(self, stop: threading.Event | None = None) -> None:
    """Checks that all records are as they were written; reads the whole store.

    Args:
      stop: Once it is set, this ends without a result.

    Raises:
      OSError: If it cannot be read.
      UserError: If they are not.
    """
    checksums.check(self.path / DATABASE, stop=stop)

  def _connect(self) -> contextlib.closing[sqlite3.Connection]:
    uri = f'{(self.path / DATABASE).absolute().as_uri()}?mode=ro'
    return contextlib.closing(sqlite3.connect(uri, uri=True))

  def records(
    self,
    client_id: tf.Tensor,
    limits: Sequence[Limit] = (),
    seed: tf.Tensor | None = None,
  ) -> tf.data.Dataset:
    """The records of one client, shortest first, one after the other.

    Args:
      client_id: string `[]`, which may be symbolic.
      limits: As in `all_records`.
      seed: As in `all_records`.

    Returns:
      Elements as in `RECORD_SPECS[self.kind]`.
    """
    return self._serialized(client_id, limits, seed).map(
      lambda record: tf.io.parse_single_example(record, self._parsing)
    )

  def all_records(
    self,
    client_id: tf.Tensor,
    limits: Sequence[Limit] = (),
    seed: tf.Tensor | None = None,
  ) -> dict[str, tf.Tensor]:
    """The records of one client, shortest first, all at once.

    This has no function of a dataset, which TensorFlow would make anew for
    each client.

    Args:
      client_id: string `[]`, which may be symbolic.
      limits: Of a client with more audio, utterances drawn at random within all
        of these; the others are not read.
      seed: int32 `[2]`, not negative; decides which are drawn.  By default
        SQLite does.

    Returns:
      string `[records]` each, named as in `RECORD_SPECS[self.kind]`.
    """
    none = tf.data.Dataset.from_tensors((tf.zeros([0], tf.string),))
    (serialized,) = (
      self._serialized(client_id, limits, seed)
      .batch(_ALL)
      .concatenate(none)
      .take(1)
      .get_single_element()
    )
    return tf.io.parse_example(serialized, self._parsing)

  @property
  def _parsing(self) -> dict[str, tf.io.FixedLenFeature]:
    return {
      name: tf.io.FixedLenFeature((), tf.string)
      for name in RECORD_SPECS[self.kind]
    }

  def _serialized(
    self,
    client_id: tf.Tensor,
    limits: Sequence[Limit],
    seed: tf.Tensor | None,
  ) -> tf.data.Dataset:
    name = tf.strings.join(
      ["'", tf.strings.regex_replace(client_id, "'", "''"), "'"]
    )
    chosen = ['SELECT number FROM records WHERE client_id = ', name]
    if limits:
      each = [_start(i, limit) for i, limit in enumerate(limits)]
      starts, bounds = zip(*each, strict=True)
      chosen = [
        f'SELECT number FROM (SELECT number, {", ".join(starts)} FROM (SELECT'
        ' number, samples, ',
        _chance(seed),
        ' AS chance FROM (SELECT number, samples, ROW_NUMBER() OVER (ORDER BY'
        ' number) AS place FROM records WHERE client_id = ',
        name,
        f'))) WHERE {" AND ".join(bounds)}',
      ]
    query = [
      'SELECT record FROM records WHERE number IN (',
      *chosen,
      ') ORDER BY samples, number',
    ]
    return tf.data.experimental.SqlDataset(
      'sqlite', str(self.path / DATABASE), tf.strings.join(query), (tf.string,)
    )


def _chance(seed: tf.Tensor | None) -> tf.Tensor | str:
  """SQL for a number of each record, by whose order they are drawn.

  From a seed it is a polynomial over a prime field whose coefficients follow
  from the seed: of two records, either is as likely the first.  It is of the
  record's place among those of its client: its number depends on other clients.
  """
  if seed is None:
    return 'RANDOM()'
  first, second = tf.unstack(tf.strings.as_string(seed))
  prime = str(2**31 - 1)
  return tf.strings.join(
    [
      *('((place + ', first, f') % {prime}) * '),
      *('((place + ', second, f') % {prime}) % {prime}'),
    ]
  )


def _start(i: int, limit: Limit) -> tuple[str, str]:
  """SQL for where an utterance starts by a limit's count, and for its bound."""
  seconds, longest = (
    round(features.SAMPLE_RATE * value)
    for value in (limit.seconds, limit.longest)
  )
  length = f'MIN(samples, {longest})'
  start = f'SUM({length}) OVER (ORDER BY chance, number) - {length}'
  return f'{start} AS start{i}', f'start{i} < {seconds}'


def _read_metadata(path: pathlib.Path) -> dict:
  if not path.is_dir():
    raise errors.UserError(
      f'There is no client store at {path}: make one with //pipelines:prepare.'
    )
  try:
    metadata = json.loads(checksums.read(path / METADATA))
    version = metadata['version']
    if version == VERSION:
      for name in ('vocabulary', 'kind', 'seconds', 'clients', 'content'):
        _ = metadata[name]
  except errors.UserError:
    raise
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'{path} is no client store (no valid {METADATA}): make one with'
      ' //pipelines:prepare.'
    ) from error
  if version != VERSION:
    raise errors.UserError(
      f'{path} is a store of version {version}, this release reads version'
      f' {VERSION}: prepare it again.'
    )
  return metadata


def _vocabulary(path: pathlib.Path, metadata: dict) -> vocabulary.Vocabulary:
  try:
    return vocabularies.from_json(metadata['vocabulary'])
  except ValueError as error:
    raise errors.UserError(
      f'The vocabulary of {path} cannot be read ({error}): prepare the store'
      ' again.'
    ) from error
