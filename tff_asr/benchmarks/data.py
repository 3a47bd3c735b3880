"""Measures the speed of preparing data, reading data and computing features.

All measurements run in one process, one after the other. Rates are multiples
of real time: seconds of audio processed in a second.
"""

from collections.abc import Callable, Iterable
import os
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf

from tff_asr.audio import features
from tff_asr.benchmarks import corpora
from tff_asr.corpora import batching, client_store, preparation
from tff_asr.corpora.readers import librispeech
from tff_asr.text import vocabularies

_TEXTS = vocabularies.CharacterVocabulary()
_REPETITIONS = 3
_OPENED_CLIENTS = 200


def run(input_dir: pathlib.Path | None, clients: int) -> str:
  """Returns the table of the speed of data.

  Args:
    input_dir: Folder of a corpus in LibriSpeech's layout; by default, a
      temporary corpus of synthetic speakers in this layout.
    clients: Number of clients in the store for measuring look-ups.

  Raises:
    UserError: If there is no corpus at `input_dir`.
  """
  with tempfile.TemporaryDirectory() as scratch:
    folder = pathlib.Path(scratch)
    if input_dir is None:
      input_dir = folder / 'corpus'
      corpora.write_librispeech(input_dir)
    lines = [
      f'{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start',
      *_preparation(input_dir, folder),
      *_features(folder),
      *_opening(folder, clients),
    ]
  return '\n'.join(lines)


def _line(what: str, value: str) -> str:
  return f'{what:58}{value:>20}'


def _rate(what: str, seconds: float, elapsed: float) -> str:
  return _line(what, f'{seconds / elapsed:,.0f} x real time')


def _best(function: Callable[[], object]) -> float:
  """Returns the seconds of the fastest of `_REPETITIONS` calls."""
  times = []
  for _ in range(_REPETITIONS):
    start = time.perf_counter()
    function()
    times.append(time.perf_counter() - start)
  return min(times)


def _preparation(
  input_dir: pathlib.Path, folder: pathlib.Path
) -> Iterable[str]:
  corpus = librispeech.LibriSpeech([input_dir])
  for kind in client_store.KINDS:
    number = 0

    def prepare(kind=kind):
      nonlocal number
      number += 1
      config = preparation.StoreConfig(_TEXTS, kind)
      preparation.prepare(corpus, folder / f'{kind}-{number}', config)

    processor = time.process_time()
    elapsed = _best(prepare)
    processor = (time.process_time() - processor) / _REPETITIONS
    opened = client_store.ClientStore(folder / f'{kind}-1')
    what = f'prepare from FLAC to a store of {kind}'
    yield _rate(f'{what}, by the clock', opened.seconds, elapsed)
    yield _rate(f'{what}, by core', opened.seconds, processor)
  for kind in client_store.KINDS:
    opened = client_store.ClientStore(folder / f'{kind}-1')
    size = (opened.path / client_store.DATABASE).stat().st_size
    yield _line(
      f'size of a store of {kind}', f'{size / opened.seconds / 1e3:.1f} kB/s'
    )
  for kind in client_store.KINDS:
    opened = client_store.ClientStore(folder / f'{kind}-1')
    frames = _frames_of_client(opened)

    def read_all(opened=opened, frames=frames):
      assert all(frames(tf.constant(c)) > 0 for c in opened.client_ids)

    read_all()
    elapsed = _best(read_all)
    what = f'batches of all clients from a store of {kind}'
    yield _rate(f'{what}, by the clock', opened.seconds, elapsed)


def _features(folder: pathlib.Path) -> Iterable[str]:
  """Measures log-mel features alone, on all cores that TensorFlow uses."""
  opened = client_store.ClientStore(folder / 'audio-1')
  waveforms = [
    features.waveform_of(tf.io.decode_raw(record['audio'], tf.int16))
    for client_id in opened.client_ids
    for record in opened.records(tf.constant(client_id))
  ]
  log_mel = tf.function(
    features.log_mel, input_signature=[tf.TensorSpec([None], tf.float32)]
  )

  def all_of_them():
    for waveform in waveforms:
      log_mel(waveform)

  all_of_them()
  processor = time.process_time()
  elapsed = _best(all_of_them)
  processor = (time.process_time() - processor) / _REPETITIONS
  yield _rate('log-mel features, by the clock', opened.seconds, elapsed)
  yield _rate('log-mel features, by core', opened.seconds, processor)


def _opening(folder: pathlib.Path, clients: int) -> Iterable[str]:
  path = folder / 'many'
  preparation.prepare(
    corpora.Noise(clients), path, preparation.StoreConfig(_TEXTS)
  )
  start = time.perf_counter()
  opened = client_store.ClientStore(path)
  opening = time.perf_counter() - start
  yield _line(f'open a store of {clients:,} clients', f'{1e3 * opening:.2f} ms')
  rng = np.random.default_rng(1)
  chosen = rng.choice(opened.client_ids, min(clients, _OPENED_CLIENTS))
  number_of_records = tf.function(
    lambda client_id: opened.records(client_id).reduce(0, lambda n, _: n + 1),
    input_signature=[tf.TensorSpec([], tf.string)],
  )
  for what, function in (
    ('records', number_of_records),
    ('batches', _frames_of_client(opened)),
  ):
    function(tf.constant(chosen[0]))
    times = []
    for client_id in chosen:
      start = time.perf_counter()
      assert function(tf.constant(client_id)) > 0
      times.append(1e3 * (time.perf_counter() - start))
    yield _line(
      f'the {what} of a client in it, median and 99 %',
      f'{np.median(times):.1f}, {np.quantile(times, 0.99):.1f} ms',
    )


def _frames_of_client(
  opened: client_store.ClientStore,
) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns a traced function that batches a client as a round does."""
  config = batching.BatchConfig(seconds=120.0, epochs=1)

  @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
  def frames(client_id):
    records = opened.all_records(client_id)
    seed = tf.random.uniform([2], 0, tf.int32.max, tf.int32)
    dataset = batching.client_batches(records, config, seed)
    return dataset.reduce(0, lambda n, b: n + tf.reduce_sum(b['frames']))

  return frames
