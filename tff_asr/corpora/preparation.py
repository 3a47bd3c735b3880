"""From a corpus to client stores.

One client's presence changes nothing of another's records: all that is decided
here is decided of an utterance, or among those of one speaker.  One thing is
not: what a held-out speaker said is kept from the training store.
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import errno
import hashlib
import pathlib
import stat

import numpy as np
import tensorflow as tf

from tff_asr import errors
from tff_asr.audio import decoding, features
from tff_asr.corpora import (
  client_store,
  parallel,
  store_split,
  store_summary,
  store_writer,
)
from tff_asr.corpora import holdout as holdout_lib
from tff_asr.corpora.readers import source as source_lib
from tff_asr.corpora.utterance import (
  Recording,
  Skipped,
  tokens_of,
  UnusableError,
  Utterance,
)
from tff_asr.text import normalisation
from tff_asr.text import vocabulary as vocabulary_lib

# Items that are decoded ahead of the one that is written, for each core.
_AHEAD = 8


@dataclasses.dataclass(frozen=True)
class StoreConfig:
  """What a store holds.

  Attributes:
    vocabulary: What its texts are written with.
    kind: What utterances are kept as, one of `store.KINDS`.
    max_seconds: Longer utterances are left out.
  """

  vocabulary: vocabulary_lib.Vocabulary
  kind: str = 'audio'
  max_seconds: float = 30.0


def prepare(
  source: source_lib.Source,
  output: pathlib.Path,
  config: StoreConfig,
  holdout: holdout_lib.Holdout | None = None,
  progress: Callable[[int, int, float], None] = lambda *_: None,
  files: Callable[[store_summary.Summary], dict[str, bytes]] = lambda _: {},
) -> list[store_summary.Summary]:
  """Makes the store of a corpus, and with `holdout` one of the held-out part.

  Items are decoded by as many threads as there are cores and written in order,
  so that the memory in use does not depend on the size of the corpus. A call
  that was stopped is gone on with by the same call. Speakers are held out at
  the end, among those who have something to be evaluated on.

  Args:
    source: The corpus.
    output: Where the store is to be; the held-out part goes to a folder beside
      it, of the same name with `-holdout` added.
    config: What a store holds.
    holdout: Which speakers are held out.
    progress: Called with the number of items done, their number in all, and
      the seconds of audio that this call has decoded.
    files: Gives files to add to a store, by name.

  Returns:
    What went into the store, and into that of the held-out part.

  Raises:
    UserError: If the corpus cannot be read, has no usable utterance, or there
      is something at the place of a store.
  """
  clients, total = source.survey()
  if holdout:
    holdout.split(
      clients
    )  # What fails for all fails for those with utterances.
  settings = {
    'source': source.description,
    'kind': config.kind,
    'max_seconds': config.max_seconds,
    'vocabulary': config.vocabulary.to_json(),
  }
  with contextlib.ExitStack() as stack:
    writers = [store_writer.StoreWriter(output, settings)]
    stack.callback(writers[0].close)
    if not holdout:
      store_split.check_whole(writers[0])
    held = store_split.path_of(output)
    if holdout and held.exists() and not writers[0].split:
      raise errors.UserError(
        f'{held} exists already: remove it, or give another --output.'
      )
    _write(source, writers[0], config, total, progress)
    summary = writers[0].summary()
    if not summary.utterances:
      stack.pop_all()
      writers[0].discard()
      raise errors.UserError(
        f'No usable utterance for {output} in {source.description}:'
        f' {store_summary.reasons(summary) or "it is empty."}'
      )
    if holdout:
      part = store_split.split(writers[0], holdout)
      if part:
        stack.callback(part.close)
        writers.insert(0, part)
    for writer in writers:
      writer.complete(
        files(writer.summary()),
        {'holdout': holdout and [holdout.clients, holdout.seed]},
      )
    summaries = {writer.path: writer.summary() for writer in writers}
    for writer in writers:
      writer.publish()
  if not holdout:
    return [summaries[output]]
  return [
    summaries[output],
    summaries.get(held) or store_summary.of_finished(held),
  ]


def _write(
  source: source_lib.Source,
  writer: store_writer.StoreWriter,
  config: StoreConfig,
  total: int,
  progress: Callable[[int, int, float], None],
) -> None:
  """Writes every item."""
  done = writer.position
  seconds = 0.0
  progress(done, total, seconds)
  for (fingerprint, _), result in parallel.map_in_order(
    lambda item: _load(item[1], config),
    _fresh(source, writer, total),
    _AHEAD,
  ):
    if isinstance(result, store_writer.Entry):
      seconds += result.samples / features.SAMPLE_RATE
    writer.add(fingerprint, result)
    done += 1
    progress(done, total, seconds)


def _fresh(
  source: source_lib.Source, writer: store_writer.StoreWriter, total: int
) -> Iterator[tuple[str, source_lib.Item]]:
  """Yields the items that are to be written.

  And with each a fingerprint of all items up to it.

  Raises:
    UserError: If the corpus is not the one that an earlier call saw.
  """
  fingerprint = hashlib.sha256()
  number = 0
  for number, item in enumerate(source.items(), start=1):
    writer.check(number - 1, fingerprint.hexdigest())
    given = [str(v) for name, v in vars(item).items() if name != 'audio']
    fingerprint.update(repr(given).encode())
    if number > writer.resumed_from:
      yield fingerprint.hexdigest(), item
  writer.check(number, fingerprint.hexdigest(), is_last=True)
  if number != total:
    raise errors.UserError(
      f'The corpus has changed while it was read: {total} items before,'
      f' {number} now. Call again when it stays as it is.'
    )


def _load(
  item: source_lib.Item, config: StoreConfig
) -> store_writer.Entry | Skipped:
  """Decodes and checks an item, and makes its record."""
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
    # Reading a pipe or a device might never end.
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
  except ValueError as error:  # An AudioError, or a name that is no path.
    raise UnusableError('corrupt audio', str(error)) from error
  return Utterance(
    recording.client_id,
    recording.utterance_id,
    audio,
    normalisation.clean(recording.text, config.vocabulary.alphabet),
  )


@tf.function(input_signature=[tf.TensorSpec([None], tf.int16)])
def _log_mel(pcm: tf.Tensor) -> tf.Tensor:
  return features.log_mel(features.waveform_of(pcm))


def _record(item: Utterance, tokens: list[int], kind: str) -> bytes:
  values = {
    'tokens': np.array(tokens, '<i4').tobytes(),
    'text': item.text.encode(),
    'utterance_id': item.utterance_id.encode(),
  }
  if kind == 'audio':
    values[kind] = item.audio.astype('<i2').tobytes()
  else:
    log_mel = _log_mel(tf.constant(item.audio)).numpy()
    values[kind] = log_mel.astype('<f4').tobytes()
  assert values.keys() == client_store.RECORD_SPECS[kind].keys()
  return tf.train.Example(
    features=tf.train.Features(
      feature={
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in values.items()
      }
    )
  ).SerializeToString(deterministic=True)
