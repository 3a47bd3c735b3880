"""Measures the speed and the memory of federated rounds.

Each subject of a comparison runs in a separate process, with its own threads
and memory.  Subjects whose times are compared take turns, so that all run
under the same load. A ratio is the median over the turns.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tqdm

from tff_asr import errors
from tff_asr.benchmarks import corpora
from tff_asr.benchmarks import subject as benchmark_subject
from tff_asr.corpora import client_store, preparation
from tff_asr.corpora.readers import librispeech
from tff_asr.corpora.readers.synthetic import synthetic_corpus
from tff_asr.programs import execution
from tff_asr.text import vocabularies

_SUBJECT = 'tff_asr.benchmarks.subject'
_LONG_RUN = 'tff_asr.benchmarks.long_run'
_LONG_ROUNDS = 300
_TURNS = 5
_ROUNDS = 3  # After the first round.
# Different clients, the same in every cohort: larger ones take more memory.
_FEW_CLIENTS = 8
_COHORT = 128  # For the comparison with TFF's runtime.
_MANY_CLIENTS = 256
_PAPER_SECONDS = 3.0
_PAPER_TEXT = 'the quick brown fox jumps over the lazy dog'
_GB = 1e9

_Config = benchmark_subject.SubjectConfig


@dataclasses.dataclass(frozen=True)
class _Row:
  """Holds a row of the table."""

  figure: str
  seen: str
  target: str = ''


class _Subject:
  """Controls a process that trains a cohort on request."""

  def __init__(self, config: _Config):
    """Starts the process and waits until the cohort is trained once."""
    settings = {'config': dataclasses.asdict(config), 'started': time.time()}
    self._process = subprocess.Popen(
      [sys.executable, '-m', _SUBJECT, json.dumps(settings)],
      env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    self._config = config
    self.first = self._answer()

  def run(self) -> dict[str, float]:
    """Trains the cohort once more; returns the measurements."""
    self._process.stdin.write('\n')
    self._process.stdin.flush()
    return self._answer()

  def stop(self) -> None:
    """Ends the process, which ends its child processes."""
    self._process.kill()
    self._process.wait()
    self._process.stdin.close()
    self._process.stdout.close()

  def _answer(self) -> dict[str, float]:
    for line in self._process.stdout:
      if line.startswith('{'):
        return json.loads(line)
    raise errors.UserError(
      f'The process that measures {self._config} ended with code'
      f' {self._process.wait()}; see its output above. Code -9 most often means'
      ' a lack of memory.'
    )


@contextlib.contextmanager
def _subjects(configs: Mapping[str, _Config]) -> Iterator[dict[str, _Subject]]:
  subjects = {}
  try:
    for name, config in configs.items():
      subjects[name] = _Subject(config)
    yield subjects
  finally:
    for subject in subjects.values():
      subject.stop()


def _compare(
  configs: Mapping[str, _Config], turns: int
) -> dict[str, list[float]]:
  """Returns the seconds of every subject in every turn."""
  seconds = {name: [] for name in configs}
  with _subjects(configs) as subjects:
    for turn in range(turns + 1):
      for name, subject in subjects.items():
        elapsed = subject.run()['seconds']
        if turn:  # The first warms up.
          seconds[name].append(elapsed)
  return seconds


def _ratio(first: Sequence[float], second: Sequence[float]) -> float:
  return statistics.median(a / b for a, b in zip(first, second, strict=True))


def _speed(folder: pathlib.Path, settings: _Config) -> Iterator[_Row]:
  loops = benchmark_subject
  featured = str(folder / 'features')

  def with_(runtime, **changes):
    return dataclasses.replace(settings, runtime=runtime, **changes)

  seconds = _compare(
    {
      'loop': with_(loops.LOOP),
      'stock loop': with_(loops.STOCK_LOOP),
      'round': with_(execution.DEVICE),
      'features': with_(execution.DEVICE, store=featured),
      'private': with_(execution.DEVICE, private=True),
      'noise': with_(loops.NOISE),
      'native': with_(execution.NATIVE),
      'all at once': with_(
        execution.NATIVE, clients_per_device=settings.cohort_size
      ),
      "TFF's defaults": with_(
        execution.NATIVE,
        clients_per_device=settings.cohort_size,
        tff_loop=True,
      ),
      'native features': with_(execution.NATIVE, store=featured),
    },
    _TURNS,
  )

  def row(figure, name, reference, target=''):
    ratio = _ratio(seconds[name], seconds[reference])
    median = {n: statistics.median(s) for n, s in seconds.items()}
    return _Row(
      figure,
      f'{ratio:.2f} ({median[name]:.2f} s, {median[reference]:.2f} s)',
      target,
    )

  yield row('a round / the plain loop', 'round', 'loop', '<= 1.10')
  yield row('the same from a store of features', 'features', 'loop')
  yield row('with per-layer DP / without', 'private', 'round', '<= 1.05')
  yield row(
    'its noise / a round with per-layer DP', 'noise', 'private', '<= 0.10'
  )
  yield row("TFF's runtime / a round", 'native', 'round', '>= 2')
  yield row('the same from a store of features', 'native features', 'features')
  yield row(
    "TFF's runtime, all clients at once / a round", 'all at once', 'round'
  )
  yield row("the same with TFF's own loop", "TFF's defaults", 'round', '>= 2')
  yield row("Keras' layers / the plain loop", 'stock loop', 'loop', '>= 1.4')


def _peak(config: _Config) -> float:
  """Returns the peak memory of training `_MANY_CLIENTS` clients in total."""
  with _subjects({'': config}) as subjects:
    rounds = _MANY_CLIENTS // config.cohort_size
    return max(subjects[''].run()['peak'] for _ in range(rounds))


def _memory(folder: pathlib.Path, settings: _Config) -> Iterator[_Row]:
  del folder

  def peak(runtime, cohort_size, at_once=None):
    return _peak(
      dataclasses.replace(
        settings,
        runtime=runtime,
        cohort_size=cohort_size,
        clients_per_device=at_once,
        different_clients=_FEW_CLIENTS,
        epochs=1,
      )
    )

  few, many = (
    peak(execution.DEVICE, size) for size in (_FEW_CLIENTS, _MANY_CLIENTS)
  )
  yield _Row(
    f'peak memory, cohort {_MANY_CLIENTS} / cohort {_FEW_CLIENTS}',
    f'{many / few:.3f} ({many / _GB:.2f} GB, {few / _GB:.2f} GB)',
    '<= 1.05',
  )
  ours = peak(execution.DEVICE, _COHORT)
  for how, at_once in (('', None), (', all clients at once', _COHORT)):
    theirs = peak(execution.NATIVE, _COHORT, at_once)
    yield _Row(
      f"peak memory, cohort {_COHORT}, a round / TFF's runtime{how}",
      f'{ours / theirs:.2f} ({ours / _GB:.2f} GB, {theirs / _GB:.2f} GB)',
      '<= 0.25',
    )


def _start(folder: pathlib.Path, settings: _Config) -> Iterator[_Row]:
  del folder
  for blocks, target in ((None, 30), (36, 75)):
    config = dataclasses.replace(
      settings, runtime=execution.DEVICE, private=True, blocks=blocks
    )
    what = f'{blocks} blocks of its width' if blocks else settings.model
    with _subjects({'': config}) as subjects:
      first = subjects[''].first['seconds']
      later = subjects[''].run()['seconds']
    yield _Row(
      f'start to the end of the first round, {what}',
      f'{first:.1f} s (then {later:.1f} s a round)',
      f'<= {target} s',
    )


def _paper(folder: pathlib.Path, settings: _Config) -> Iterator[_Row]:
  del settings
  path = folder / 'paper'
  preparation.prepare(
    corpora.Noise(2, _PAPER_SECONDS, _PAPER_TEXT),
    path,
    preparation.StoreConfig(vocabularies.CharacterVocabulary()),
  )
  config = _Config(
    execution.DEVICE,
    str(path),
    model='paper',
    cohort_size=2,
    private=True,
    epochs=1,
    clients_per_device=1,
  )
  with _subjects({'': config}) as subjects:
    first = subjects[''].first['seconds']
    rounds = [subjects[''].run() for _ in range(_ROUNDS)]
  yield _Row(
    '`paper`, cohort 2, 3 s each, DP: start to the end of the first round',
    f'{first:.1f} s',
  )
  later = statistics.median(r['seconds'] for r in rounds)
  yield _Row('the same, each later round', f'{later:.1f} s')
  yield _Row(
    'the same, peak memory', f'{rounds[-1]["peak"] / _GB:.2f} GB', '<= 12 GB'
  )
  noise = dataclasses.replace(config, runtime=benchmark_subject.NOISE)
  with _subjects({'': noise}) as subjects:
    seconds = statistics.median(
      subjects[''].run()['seconds'] for _ in range(_ROUNDS)
    )
  yield _Row('its noise alone', f'{seconds:.1f} s')


def _devices(folder: pathlib.Path, settings: _Config) -> Iterator[_Row]:
  del folder
  one, two = (
    dataclasses.replace(
      settings,
      runtime=execution.DEVICE,
      devices=devices,
      clients_per_device=1,
    )
    for devices in ('cpu:0', 'cpu:0,cpu:1')
  )
  seconds = _compare({'one': one, 'two': two}, _TURNS)
  yield _Row(
    f'one device / two, one client at a time on each, {os.cpu_count()} cores',
    f'{_ratio(seconds["one"], seconds["two"]):.2f}',
  )


def _long(folder: pathlib.Path, settings: _Config) -> Iterator[_Row]:
  held_out = folder / 'held_out'
  preparation.prepare(
    synthetic_corpus.Synthetic(
      synthetic_corpus.SyntheticConfig(2, 1, held_out_voices=True)
    ),
    held_out,
    preparation.StoreConfig(vocabularies.CharacterVocabulary()),
  )
  run = [settings.store, held_out, folder / 'run', 'tiny', _LONG_ROUNDS]
  process = subprocess.run(
    [sys.executable, '-m', _LONG_RUN, *map(str, run)],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    stdout=subprocess.PIPE,
    text=True,
  )
  errors.require(
    process.returncode == 0,
    f'The run of {_LONG_ROUNDS} rounds ended with code {process.returncode};'
    ' see its output above.',
  )
  lines = [x for x in process.stdout.splitlines() if x.startswith('{')]
  resident = {
    line['round']: line['resident']
    for line in map(json.loads, lines)
    if line['event'] == 'round'
  }
  warm = resident[_LONG_ROUNDS // 6]
  most = max(size for n, size in resident.items() if n > _LONG_ROUNDS // 6)
  last = resident[_LONG_ROUNDS]
  yield _Row(
    f'`tiny`, memory of a run after round {_LONG_ROUNDS} / after round'
    f' {_LONG_ROUNDS // 6}',
    f'{last / warm:.3f} ({last / _GB:.2f} GB, {warm / _GB:.2f} GB)',
    '<= 1.05',
  )
  yield _Row(
    'the same, largest memory after any of the rounds between',
    f'{most / warm:.3f}',
    '<= 1.05',
  )


_PARTS: dict[str, Callable[[pathlib.Path, _Config], Iterator[_Row]]] = {
  'speed': _speed,
  'memory': _memory,
  'start': _start,
  'paper': _paper,
  'devices': _devices,
  'long': _long,
}
PARTS = tuple(_PARTS)


def run(
  input_dir: pathlib.Path | None, model: str, parts: Sequence[str]
) -> str:
  """Returns the table of federated rounds.

  Args:
    input_dir: Folder of a corpus in LibriSpeech's layout, whose speakers are
      the clients; by default the speakers are synthetic.
    model: Name of the preset.
    parts: Names of the measurements, from `PARTS`.

  Raises:
    UserError: If there is no corpus at `input_dir`, or a measuring process
      ends too early.
  """
  load = os.getloadavg()[0]
  corpus = (
    librispeech.LibriSpeech([input_dir])
    if input_dir
    else synthetic_corpus.Synthetic(
      synthetic_corpus.SyntheticConfig(corpora.SPEAKERS, 0)
    )
  )
  rows = []
  with tempfile.TemporaryDirectory() as scratch:
    folder = pathlib.Path(scratch)
    for kind in client_store.KINDS:
      preparation.prepare(
        corpus,
        folder / kind,
        preparation.StoreConfig(vocabularies.CharacterVocabulary(), kind),
      )
    settings = _Config(execution.DEVICE, str(folder / 'audio'), model)
    for part in tqdm.tqdm(parts, 'measuring', unit='part', disable=None):
      for row in _PARTS[part](folder, settings):
        rows.append(row)
        tqdm.tqdm.write(f'{row.figure}: {row.seen}', file=sys.stderr)
  lines = [
    f'{model}, cohort {settings.cohort_size}, {settings.epochs} epochs of'
    f' batches of {settings.batch_seconds:g} s; {os.cpu_count()} cores, load'
    f' {load:.1f} at the start',
    '',
    '| figure | measured | target |',
    '|---|---|---|',
    *(f'| {row.figure} | {row.seen} | {row.target} |' for row in rows),
  ]
  return '\n'.join(lines)
