"""From a corpus to client stores."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import dataclasses
import errno
import hashlib
import pathlib
import stat

import numpy as np
import tensorflow as tf

from tff_asr import errors
from tff_asr.audio import decoding, features
from tff_asr.corpora import holdout as holdout_lib
from tff_asr.corpora import parallel, store, store_summary, store_writer
from tff_asr.corpora import source as source_lib
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
  that was stopped is gone on with by the same call.

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
  held_out = holdout.split(clients) if holdout else frozenset()
  settings = {
    'source': source.description,
    'kind': config.kind,
    'max_seconds': config.max_seconds,
    'vocabulary': config.vocabulary.to_json(),
    'holdout': holdout and [holdout.clients, holdout.seed],
  }
  paths = {False: output}
  if holdout:
    paths[True] = output.with_name(f'{output.name}-holdout')
  summaries = _finished(list(paths.values()), settings)
  writers = {}
  try:
    for is_holdout, path in paths.items():
      if path not in summaries:
        writers[is_holdout] = store_writer.StoreWriter(path, settings)
    _write(source, writers, held_out, config, total, progress)
    for writer in writers.values():
      summary = writer.summary()
      if not summary.utterances:
        reasons = ', '.join(f'{n} {r}' for r, n in summary.skipped.items())
        for writer in writers.values():
          writer.discard()
        writers.clear()
        raise errors.UserError(
          f'No usable utterance for {summary.path} in {source.description}:'
          f' {reasons or "it is empty"}.'
        )
      summaries[summary.path] = summary
    for writer in writers.values():
      writer.complete(files(writer.summary()))
    for writer in writers.values():
      writer.publish()
    return [summaries[path] for path in paths.values()]
  finally:
    for writer in writers.values():
      writer.close()


def _finished(
  paths: Sequence[pathlib.Path], settings: Mapping[str, object]
) -> dict[pathlib.Path, store_summary.Summary]:
  """The one of two stores that a call killed between them has left."""
  there = [path for path in paths if path.exists()]
  left = [path for path in paths if store_writer.partial_of(path).exists()]
  if len(there) + len(left) == len(paths) > len(there):
    found = [store_summary.of_finished(path, settings) for path in there]
    return {summary.path: summary for summary in found if summary}
  return {}


def _write(
  source: source_lib.Source,
  writers: Mapping[bool, store_writer.StoreWriter],
  held_out: frozenset[str],
  config: StoreConfig,
  total: int,
  progress: Callable[[int, int, float], None],
) -> None:
  """Writes every item to the writer of its speaker."""
  start = min(writer.position for writer in writers.values())
  seconds = 0.0
  progress(start, total, seconds)
  numbered = _numbered(source.items(), held_out, writers.values())
  fresh = ((n, f, item) for n, f, item in numbered if n >= start)
  number = start - 1
  for (number, fingerprint, _), result in parallel.map_in_order(
    lambda item: _load(item[2], config), fresh, _AHEAD
  ):
    if isinstance(result, store_writer.Entry):
      seconds += result.samples / features.SAMPLE_RATE
      result = _refuse_anothers_audio(number, result, writers.values())
    for is_holdout, writer in writers.items():
      own = (result.client_id in held_out) == is_holdout
      writer.add(number, fingerprint, result if own else None)
    progress(number + 1, total, seconds)
  if number + 1 != total:
    raise errors.UserError(
      f'The corpus has changed while it was read: {total} items before,'
      f' {number + 1} now. Call again when it stays as it is.'
    )


def _numbered(
  items: Iterable[source_lib.Item],
  held_out: frozenset[str],
  writers: Sequence[store_writer.StoreWriter],
) -> Iterator[tuple[int, str, source_lib.Item]]:
  """Yields items with their number and a fingerprint of all up to them.

  And of who is held out, which another item may change for all of them.
  """
  fingerprint = hashlib.sha256(repr(sorted(held_out)).encode())
  number = -1
  for number, item in enumerate(items):
    for writer in writers:
      writer.check(number, fingerprint.hexdigest())
    given = [str(v) for name, v in vars(item).items() if name != 'audio']
    fingerprint.update(repr(given).encode())
    yield number, fingerprint.hexdigest(), item
  for writer in writers:
    writer.check(number + 1, fingerprint.hexdigest(), is_last=True)


def _refuse_anothers_audio(
  number: int,
  entry: store_writer.Entry,
  writers: Iterable[store_writer.StoreWriter],
) -> store_writer.Entry | Skipped:
  """Keeps one person's audio from being two clients, or in both parts."""
  for writer in writers:
    speaker = writer.speaker_of(entry.audio_digest, number)
    if speaker not in (None, entry.client_id):
      return Skipped(
        entry.client_id,
        entry.utterance_id,
        'same audio under another speaker',
        speaker,
      )
  return entry


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
  assert values.keys() == store.RECORD_SPECS[kind].keys()
  return tf.train.Example(
    features=tf.train.Features(
      feature={
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in values.items()
      }
    )
  ).SerializeToString(deterministic=True)
