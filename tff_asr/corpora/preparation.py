"""The preparation of client stores from a corpus, without a user interface.

`corpora/readers` list the items of a corpus; `commands/prepare.py` adds the
progress bar, the plot and the table.

One client's presence changes nothing in another client's records: each decision
here is about one utterance, or about the utterances of one speaker.  There is
one exception: audio of a held-out speaker is not in the training store.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import errno
import hashlib
import pathlib
import stat
from typing import NoReturn

import numpy as np
import tensorflow as tf

from tff_asr import errors
from tff_asr.audio import decoding, features
from tff_asr.corpora import (
  client_store,
  holdouts,
  parallel,
  record_features,
  store_split,
  store_summary,
  store_writer,
)
from tff_asr.corpora.readers import sources
from tff_asr.corpora.utterance import (
  Recording,
  Skipped,
  tokens_of,
  UnusableError,
  Utterance,
)
from tff_asr.text import normalisation, vocabularies

# Items decoded in advance, for each core.
_AHEAD = 8


@dataclasses.dataclass(frozen=True)
class StoreConfig:
  """Settings of a store's contents.

  Attributes:
    vocabulary: Vocabulary of the texts.
    kind: Form of the utterances, one of `client_store.KINDS`.
    max_seconds: Greatest length of an utterance in seconds; longer ones are
      left out.
  """

  vocabulary: vocabularies.Vocabulary
  kind: str = 'audio'
  max_seconds: float = 30.0


def prepare(
  corpus: sources.Source,
  output: pathlib.Path,
  config: StoreConfig,
  holdout: holdouts.Holdout | None = None,
  progress: Callable[[int, int, float], None] = lambda *_: None,
  files: Callable[[store_summary.Summary], dict[str, bytes]] = lambda _: {},
) -> list[store_summary.Summary]:
  """Writes the store of a corpus, and with `holdout` a second store.

  One thread for each core decodes items, which are written in order, so the
  memory does not depend on the size of the corpus. A call with the same
  arguments resumes an interrupted call. Speakers are held out at the end, among
  the speakers with usable utterances.

  Args:
    corpus: The corpus.
    output: Folder of the store; the store of the held-out speakers is beside
      it, with `-holdout` added to the name.
    config: Settings of the contents.
    holdout: Draw of the held-out speakers.
    progress: Called with the number of finished items, the number of all items,
      and the seconds of audio that this call has decoded.
    files: Returns files to add to a store, by name.

  Returns:
    Summaries of the store and, with `holdout`, of the second store.

  Raises:
    UserError: If the corpus cannot be read or has no usable utterance, or if a
      store's folder exists already.
  """
  clients, total = corpus.survey()
  if holdout:
    # A draw that fails among all speakers fails among the usable ones, too.
    holdout.split(clients)
  settings = {
    'source': corpus.description,
    'kind': config.kind,
    'max_seconds': config.max_seconds,
    'vocabulary': config.vocabulary.to_json(),
  }
  with contextlib.ExitStack() as stack:
    writer = store_writer.StoreWriter(output, settings)
    stack.callback(writer.close)
    _check_split(writer, holdout)
    _write(corpus, writer, config, total, progress)
    if not writer.summary().utterances:
      stack.pop_all()
      _fail_empty(writer, corpus)
    writers = [writer]
    if holdout and (held := store_split.split(writer, holdout)):
      stack.callback(held.close)
      writers.insert(0, held)
    made = _publish(writers, holdout, files)
  return _summaries(output, holdout, made)


def _check_split(
  writer: store_writer.StoreWriter, holdout: holdouts.Holdout | None
) -> None:
  """Checks that a store can be split, or is whole, as `holdout` asks."""
  if not holdout:
    store_split.check_whole(writer)
    return
  held = store_split.path_of(writer.path)
  if held.exists() and not writer.split:
    raise errors.UserError(
      f'{held} exists already: remove it, or give another `output`.'
    )


def _fail_empty(
  writer: store_writer.StoreWriter, corpus: sources.Source
) -> NoReturn:
  """Removes a store without utterances, and raises a `UserError`."""
  reasons = store_summary.reasons(writer.summary()) or 'it is empty.'
  writer.discard()
  raise errors.UserError(
    f'No usable utterance for {writer.path} in {corpus.description}: {reasons}'
  )


def _publish(
  writers: Sequence[store_writer.StoreWriter],
  holdout: holdouts.Holdout | None,
  files: Callable[[store_summary.Summary], dict[str, bytes]],
) -> dict[pathlib.Path, store_summary.Summary]:
  """Completes all stores, then moves them to their final folders.

  Returns:
    The summaries by path.
  """
  draw = {'holdout': holdout and [holdout.clients, holdout.seed]}
  for writer in writers:
    writer.complete(files(writer.summary()), draw)
  made = {writer.path: writer.summary() for writer in writers}
  for writer in writers:
    writer.publish()
  return made


def _summaries(
  output: pathlib.Path,
  holdout: holdouts.Holdout | None,
  made: Mapping[pathlib.Path, store_summary.Summary],
) -> list[store_summary.Summary]:
  """Returns the summaries of all stores of a preparation.

  An earlier call may have published the store of the held-out speakers.
  """
  if not holdout:
    return [made[output]]
  held = store_split.path_of(output)
  return [made[output], made.get(held) or store_summary.of_finished(held)]


def _write(
  corpus: sources.Source,
  writer: store_writer.StoreWriter,
  config: StoreConfig,
  total: int,
  progress: Callable[[int, int, float], None],
) -> None:
  """Writes every item that an earlier call has not written."""
  done = writer.position
  seconds = 0.0
  progress(done, total, seconds)
  for (fingerprint, _), result in parallel.map_in_order(
    lambda item: _load(item[1], config),
    _new_items(corpus, writer, total),
    _AHEAD,
  ):
    if isinstance(result, store_writer.Entry):
      seconds += result.samples / features.SAMPLE_RATE
    writer.add(fingerprint, result)
    done += 1
    progress(done, total, seconds)


def _new_items(
  corpus: sources.Source, writer: store_writer.StoreWriter, total: int
) -> Iterator[tuple[str, sources.Item]]:
  """Yields the items to write, each with a fingerprint of all items up to it.

  Raises:
    UserError: If the corpus has changed since an earlier call.
  """
  fingerprint = hashlib.sha256()
  number = 0
  for number, item in enumerate(corpus.checked_items(), start=1):
    writer.check(number - 1, fingerprint.hexdigest())
    given = [str(v) for name, v in vars(item).items() if name != 'audio']
    fingerprint.update(repr(given).encode())
    if isinstance(item, Utterance):
      fingerprint.update(hashlib.sha256(item.audio.tobytes()).digest())
    if number > writer.resumed_from:
      yield fingerprint.hexdigest(), item
  writer.check(number, fingerprint.hexdigest(), is_last=True)
  if number != total:
    raise errors.UserError(
      'The corpus has changed while the command read it: it had'
      f' {total} items before, and has {number} now. Repeat the command when'
      ' the corpus no longer changes.'
    )


def _load(
  item: sources.Item, config: StoreConfig
) -> store_writer.Entry | Skipped:
  """Decodes and checks an item, and builds its record."""
  if isinstance(item, Skipped):
    return item
  try:
    if isinstance(item, Recording):
      item = _decode(item, config)
    tokens = tokens_of(item, config.vocabulary, config.max_seconds)
  except UnusableError as error:
    return Skipped(
      item.client_id, item.utterance_id, error.reason, error.detail
    )
  record = _record(item, tokens, config.kind)
  return store_writer.Entry(
    item.client_id,
    item.utterance_id,
    len(item.audio),
    len(item.text.split()),
    hashlib.blake2b(item.audio.tobytes(), digest_size=16).digest(),
    record,
    hashlib.blake2b(record, digest_size=16).digest(),
  )


def _decode(recording: Recording, config: StoreConfig) -> Utterance:
  try:
    # To read a pipe or a device might never end.
    if not stat.S_ISREG(recording.path.stat().st_mode):
      raise OSError(errno.EINVAL, 'no regular file')
    audio = decoding.decode(recording.path.read_bytes(), config.max_seconds)
  except FileNotFoundError as error:
    raise UnusableError('audio file missing', str(recording.path)) from error
  except OSError as error:
    detail = f'{recording.path}: {error.strerror}'
    raise UnusableError('audio file unreadable', detail) from error
  except decoding.TooLongError as error:
    raise UnusableError('too long', str(error)) from error
  except ValueError as error:  # An AudioError, or an invalid path.
    raise UnusableError('corrupt audio', str(error)) from error
  return Utterance(
    recording.client_id,
    recording.utterance_id,
    audio,
    normalisation.clean(recording.text, config.vocabulary.alphabet),
  )


@tf.function(input_signature=[tf.TensorSpec([1], tf.string)])
def _log_mel(audio: tf.Tensor) -> tf.Tensor:
  return record_features.log_mel({'audio': audio})


def _record(item: Utterance, tokens: list[int], kind: str) -> bytes:
  values = {
    'tokens': np.array(tokens, '<i4').tobytes(),
    'text': item.text.encode(),
    'utterance_id': item.utterance_id.encode(),
  }
  audio = item.audio.astype('<i2').tobytes()
  if kind == 'audio':
    values[kind] = audio
  else:
    values[kind] = _log_mel([audio]).numpy().astype('<f4').tobytes()
  assert values.keys() == client_store.RECORD_SPECS[kind].keys()
  return tf.train.Example(
    features=tf.train.Features(
      feature={
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in values.items()
      }
    )
  ).SerializeToString(deterministic=True)
