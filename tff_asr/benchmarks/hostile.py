"""Measures hostile requests to a server, and normal ones of the same size."""

from collections.abc import Iterator
import contextlib
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tensorflow as tf
import tqdm

from tff_asr.benchmarks import hostile_requests
from tff_asr.models import model_folder, presets
from tff_asr.serving import saved_model, transcriber
from tff_asr.text import vocabularies

_TURNS = 9
_SUBJECT = 'tff_asr.benchmarks.hostile'
# The threshold returns freed memory to the system at once.
_ENVIRONMENT = {'TF_ENABLE_ONEDNN_OPTS': '0', 'MALLOC_MMAP_THRESHOLD_': '65536'}
_STATUS = pathlib.Path('/proc/self/status')
_CLEAR = pathlib.Path('/proc/self/clear_refs')
_RESET_PEAK = '5'
_LEAST_MB = 8.0  # The allocator itself may take less than this.


def run(run_dir: pathlib.Path | None, model: str) -> str:
  """Returns the table of costs for an exported model.

  Args:
    run_dir: Folder of a model or of a run; by default an untrained `model`.
    model: Name of a preset.

  Raises:
    UserError: If `run_dir` has no model.
  """
  load = os.getloadavg()[0]
  if run_dir:
    encoder, vocabulary = model_folder.load(run_dir)
  else:
    vocabulary = vocabularies.CharacterVocabulary()
    encoder = presets.preset(model, vocabulary.size).build()
  with tempfile.TemporaryDirectory() as scratch:
    served = transcriber.Transcriber(encoder, vocabulary)
    version = saved_model.export(served, pathlib.Path(scratch), 'asr', {}, {})
    requests = hostile_requests.hostile()
    times = _medians(_times, version, requests.values(), _TURNS)
    process = subprocess.run(
      [*(sys.executable, '-m', _SUBJECT), str(version), str(_TURNS), *requests],
      env=os.environ | _ENVIRONMENT,
      stdout=subprocess.PIPE,
      check=True,
    )
  peaks = json.loads(process.stdout.splitlines()[-1])
  return '\n'.join(
    (
      f'{run_dir.name if run_dir else f"{model}, untrained"};'
      f' {os.cpu_count()} cores, load {load:.1f} at the start',
      '',
      '| request | kB | ms | normal | ratio | MB | normal | ratio |',
      '|---|---|---|---|---|---|---|---|',
      *_rows(requests, times, peaks),
    )
  )


def _rows(requests, times, peaks) -> Iterator[str]:
  for (name, request), time_, peak in zip(
    requests.items(), times, peaks, strict=True
  ):
    share = peak[0] / max(peak[1], _LEAST_MB)
    yield (
      f'| {name} | {request.size / 1e3:,.1f} | {time_[0]:.1f} |'
      f' {time_[1]:.1f} | {time_[0] / time_[1]:.2f} | {peak[0]:.1f} |'
      f' {peak[1]:.1f} | {share:.2f} |'
    )


def _medians(measure, version, requests, turns) -> list[list[float]]:
  """Returns medians of alternating hostile and normal requests.

  The first turn is a warm-up and does not count.
  """
  loaded = tf.saved_model.load(str(version))
  found = []
  for request in tqdm.tqdm(requests, 'measuring', leave=False, disable=None):
    pair = request, hostile_requests.normal(request)
    measures = zip(*(measure(loaded, each) for each in pair), strict=True)
    measured = [*itertools.islice(measures, 1, turns + 1)]
    found.append([statistics.median(m) for m in zip(*measured, strict=True)])
  return found


def _times(loaded, request) -> Iterator[float]:
  """Yields the milliseconds of a request, repeated without end."""
  while True:
    start = time.perf_counter()
    _ask(loaded, request)
    yield 1e3 * (time.perf_counter() - start)


def _peaks(loaded, request) -> Iterator[float]:
  """Yields the peak memory that a request adds, in MB, repeated without end."""
  while True:
    _CLEAR.write_text(_RESET_PEAK)
    before = _status('VmRSS')
    _ask(loaded, request)
    yield max(_status('VmHWM') - before, 0) / 1e3


def _ask(loaded, request) -> None:
  inputs = {name: tf.constant(value) for name, value in request.inputs.items()}
  with contextlib.suppress(tf.errors.InvalidArgumentError):  # A refusal.
    loaded.signatures[request.signature](**inputs)


def _status(name: str) -> int:
  (line,) = (
    line for line in _STATUS.read_text().splitlines() if line.startswith(name)
  )
  return int(line.split()[1])


def _print_peaks(version: str, turns: str, *names: str) -> None:
  requests = hostile_requests.hostile()
  some = [requests[name] for name in names]
  print(json.dumps(_medians(_peaks, pathlib.Path(version), some, int(turns))))


if __name__ == '__main__':
  _print_peaks(*sys.argv[1:])
