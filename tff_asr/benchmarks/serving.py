"""Measures speed and size of an exported model, beside the original model."""

from collections.abc import Callable, Iterator, Sequence
import itertools
import os
import pathlib
import statistics
import tempfile
import time

import jiwer
import numpy as np
import tensorflow as tf
import tqdm

from tff_asr.audio import features
from tff_asr.benchmarks import corpora
from tff_asr.corpora import client_store, preparation, utterance
from tff_asr.corpora.readers import librispeech
from tff_asr.corpora.readers.synthetic import synthetic_corpus
from tff_asr.models import model_folder, presets
from tff_asr.serving import (
  client,
  saved_model,
  server_files,
  tflite,
  transcriber,
)
from tff_asr.text import vocabularies

_BATCH = 8
_TURNS = 7
_NAME = 'asr'
_Batch = Sequence[utterance.Utterance]


def run(
  run_dir: pathlib.Path | None, input_dir: pathlib.Path | None, model: str
) -> str:
  """Returns the tables of an exported model.

  Args:
    run_dir: Folder of a model or of a run; by default an untrained `model`.
    input_dir: Folder of a corpus in LibriSpeech's layout to transcribe; by
      default the speakers are synthetic.
    model: Name of a preset.

  Raises:
    UserError: If `run_dir` has no model, or `input_dir` has no corpus.
  """
  load = os.getloadavg()[0]
  if run_dir:
    encoder, vocabulary = model_folder.load(run_dir)
  else:
    vocabulary = vocabularies.CharacterVocabulary()
    encoder = presets.preset(model, vocabulary.size).build()
  corpus = (
    librispeech.LibriSpeech([input_dir])
    if input_dir
    else synthetic_corpus.Synthetic(
      synthetic_corpus.SyntheticConfig(corpora.SPEAKERS, 0)
    )
  )
  with tempfile.TemporaryDirectory() as scratch:
    utterances = _utterances(
      corpus, vocabulary, pathlib.Path(scratch) / 'store'
    )
  seconds = sum(len(u.audio) for u in utterances) / features.SAMPLE_RATE
  with tempfile.TemporaryDirectory() as scratch:
    served = transcriber.Transcriber(encoder, vocabulary)
    version = saved_model.export(
      served, pathlib.Path(scratch), _NAME, {}, tflite.models(encoder)
    )
    start = time.perf_counter()
    loaded = tf.saved_model.load(str(version))
    loading = time.perf_counter() - start
    lines = [
      f'{run_dir.name if run_dir else f"{model}, untrained"};'
      f' {len(utterances)} utterances, {seconds:.0f} s; {os.cpu_count()} cores,'
      f' load {load:.1f} at the start; loaded in {loading:.1f} s',
      '',
      '| | real-time factor, one by one | in batches of eight |',
      '|---|---|---|',
      *_speed(encoder, loaded, utterances, seconds),
      '',
      '| | MB | real-time factor | WER | texts that differ |',
      '|---|---|---|---|---|',
      *_sizes(version, loaded, vocabulary, utterances, seconds, bool(run_dir)),
    ]
  return '\n'.join(lines)


def _utterances(corpus, vocabulary, folder) -> list[utterance.Utterance]:
  preparation.prepare(corpus, folder, preparation.StoreConfig(vocabulary))
  store = client_store.ClientStore(folder)
  return [
    utterance.Utterance(
      client_id,
      record['utterance_id'].decode(),
      np.frombuffer(record['audio'], np.int16),
      record['text'].decode(),
    )
    for client_id in store.client_ids
    for record in store.records(client_id).as_numpy_iterator()
  ]


def _speed(encoder, loaded, utterances, seconds) -> Iterator[str]:
  """Yields rows with the speed of the exported functions and of the model."""

  @tf.function(
    input_signature=[
      tf.TensorSpec([None, None], tf.float32),
      tf.TensorSpec([None], tf.int32),
    ]
  )
  def forward(waveform, lengths):
    log_mel = features.log_mel(waveform)
    return encoder(log_mel, features.num_frames(lengths), training=False)

  def of_waveforms(function):
    def call(batch):
      inputs = client.batch_of([u.audio for u in batch])
      return function(**{n: tf.constant(v) for n, v in inputs.items()})

    return call

  def of_files(batch):
    files = [server_files.wav_file(u.audio) for u in batch]
    return loaded.signatures['wav'](wav=tf.constant(files))

  own = "the model's own forward pass"
  functions = {
    own: of_waveforms(forward),
    'logits': of_waveforms(loaded.signatures['logits']),
    'serving_default': of_waveforms(loaded.signatures['serving_default']),
    'wav': of_files,
    'beam': of_waveforms(loaded.signatures['beam']),
  }
  factors = [
    _compare(functions, list(_batches(utterances, size)), seconds)
    for size in (1, _BATCH)
  ]
  for name in functions:
    found = [statistics.median(turns[name]) for turns in factors]
    yield f'| {name} |' + ''.join(f' {factor:.4f} |' for factor in found)
  ratios = [
    statistics.median(
      a / b for a, b in zip(turns['logits'], turns[own], strict=True)
    )
    for turns in factors
  ]
  yield (
    '| logits / forward pass (target: <= 1.05) |'
    + ''.join(f' {ratio:.3f} |' for ratio in ratios)
  )


def _compare(
  functions: dict[str, Callable], batches: Sequence[_Batch], seconds: float
) -> dict[str, list[float]]:
  """Returns the real-time factors of every function in every turn."""
  factors = {name: [] for name in functions}
  for turn in tqdm.trange(
    _TURNS + 1, desc='measuring', leave=False, disable=None
  ):
    for name, function in functions.items():
      start = time.perf_counter()
      for batch in batches:
        function(batch)
      if turn:  # The first warms up.
        factors[name].append((time.perf_counter() - start) / seconds)
  return factors


def _sizes(
  version, loaded, vocabulary, utterances, seconds, is_trained
) -> Iterator[str]:
  """Yields rows for the server model and the phone models."""

  def served(waveform):
    found = loaded.signatures['serving_default'](
      waveform=waveform[None], lengths=tf.constant([len(waveform)])
    )
    return found['text'].numpy()[0].decode()

  weights = sum(
    path.stat().st_size
    for path in version.rglob('*')
    if path.is_file() and 'assets' not in path.parent.name
  )
  models = {'SavedModel': (weights, served)}
  for path in sorted((version / saved_model.EXTRA).glob('*.tflite')):
    models[path.name] = path.stat().st_size, tflite.load(path, vocabulary)
  reference = [u.text for u in utterances]
  waveforms = [u.audio.astype(np.float32) / 2**15 for u in utterances]
  first = None
  for name, (size, transcribe) in models.items():
    for waveform in waveforms[:_BATCH]:
      transcribe(waveform)
    start = time.perf_counter()
    texts = [transcribe(waveform) for waveform in waveforms]
    factor = (time.perf_counter() - start) / seconds
    first = first or texts
    wer = f'{jiwer.wer(reference, texts):.2%}' if is_trained else ''
    differ = sum(a != b for a, b in zip(texts, first, strict=True))
    yield f'| {name} | {size / 1e6:.2f} | {factor:.4f} | {wer} | {differ} |'


def _batches(utterances: _Batch, size: int) -> Iterator[_Batch]:
  """Yields batches of utterances of similar length."""
  rest = iter(sorted(utterances, key=lambda u: len(u.audio)))
  while batch := list(itertools.islice(rest, size)):
    yield batch
