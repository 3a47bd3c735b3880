"""Two populations that differ in one client leave the same, file by file.

Each run prepares a corpus, sets speakers apart for evaluation and for a seed
model, and trains with a guarantee.  Chance is the same in both, and every
client sends an update of zero: then what the mechanism releases is the same,
too, and whatever else differs tells of the client.

The client of the second corpus has another name and more utterances, some of
them with the audio and the names of others' utterances, and takes long.  Or the
client's data cannot be read, and the client fails.  Zeros are computed from the
updates: TensorFlow would leave out what nothing depends on.  How many clients
there are is public.
"""

import contextlib
import difflib
import functools
import itertools
import pathlib
import random
import secrets
import shutil
import sqlite3
import time
import types

import pytest
import tensorflow as tf

from tests import stores as stores_lib
from tff_asr import checksums, errors
from tff_asr.commands import train
from tff_asr.corpora import batching, client_store, holdouts, preparation
from tff_asr.executors import map_reduce
from tff_asr.learning import central, federated
from tff_asr.models import presets
from tff_asr.privacy import settings as privacy_config
from tff_asr.privacy.accounting import ledger
from tff_asr.privacy.mechanism import clipping, gaussian, layer_clipping
from tff_asr.privacy.sampling import schemes
from tff_asr.programs import execution

OTHERS = [f'client-{i}' for i in range(9)]
# Not drawn, neither for the hold-out nor for the seed model; first and last by
# name, so that all others have another place in the list of clients.
ONE, ANOTHER = 'a-client', 'y-client'
MODEL = 'of one block'
CLIENT_SECONDS = 1_000.0

# What docs/privacy.md names as outside of the guarantee.
OUTSIDE = {
  'stores.json',  # By its hash of all clients a run knows its stores again.
}


@pytest.fixture(scope='module', autouse=True)
def _small_model():
  sizes = dict(blocks=1, width=16, mlp_width=32, convolutions=1)
  with pytest.MonkeyPatch.context() as patched:
    patched.setitem(presets.PRESETS, MODEL, presets.PRESETS['tiny'] | sizes)
    yield


def corpus(one: str):
  """The items of all clients; `one` is the client in whom corpora differ."""
  items = [
    stores_lib.make(client, f'{client}-{i}', 4_800 + 160 * i)
    for client in OTHERS
    for i in range(3)
  ]
  own = [stores_lib.make(one, f'{one}-{i}', 6_400) for i in range(2)]
  if one == ANOTHER:
    own += [
      stores_lib.make(one, f'{one}-{i}', 9_600, 'no no') for i in range(4)
    ]
    for like in items[::4]:  # The same audio under the same name.
      own.append(
        stores_lib.make(like.client_id, like.utterance_id, len(like.audio))
      )
    own = [
      type(item)(one, item.utterance_id, item.audio, item.text) for item in own
    ]
    return [*own, *items]  # The first in the corpus, not the last.
  return [*items, *own]


@pytest.fixture
def failed(monkeypatch):
  """A list that gets the errors of clients that fail."""
  found = []
  failures = map_reduce._Queue.failures

  @contextlib.contextmanager
  def seen(queue):
    with failures(queue):
      try:
        yield
      except Exception as error:
        found.append(error)
        raise

  monkeypatch.setattr(map_reduce._Queue, 'failures', seen)
  return found


@contextlib.contextmanager
def same_chance():
  """Fixes all entropy, and the clock, which stands but for `ANOTHER`."""
  hashes = random.Random(0)
  now = [1.0e9]

  def fresh(shape, dtype):
    return tf.zeros(shape, dtype)

  stage = map_reduce.stage

  @contextlib.contextmanager
  def timed(name, client=None):
    if client and ANOTHER in client:
      now[0] += CLIENT_SECONDS
    with stage(name, client):
      yield

  def nothing(tensors, *_):
    kept = (tf.where(tf.math.is_finite(t), t, 0.0) for t in tensors)
    return [tf.cast(tf.clip_by_value(t, 0.0, 0.0), tf.int64) for t in kept]

  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(
      secrets, 'randbits', lambda bits: random.Random(bits).getrandbits(bits)
    )
    patched.setattr(
      secrets, 'token_hex', lambda size=16: hashes.randbytes(size).hex()
    )
    names = types.SimpleNamespace(uuid4=lambda: 'a name')
    patched.setattr(ledger, 'uuid', names)
    patched.setattr(tf.raw_ops, 'NonDeterministicInts', fresh)
    patched.setattr(tf, 'timestamp', lambda: tf.constant(0.0, tf.float64))
    patched.setattr(clipping, 'scale_to_steps', nothing)
    patched.setattr(map_reduce, 'stage', timed)
    for clock in 'monotonic', 'time', 'perf_counter':
      patched.setattr(time, clock, lambda: now[0])
    yield


def run(folder: pathlib.Path, one: str, sampling: str, damaged=False) -> None:
  """A whole run in a folder, from the corpus on."""
  config = preparation.StoreConfig(stores_lib.ENGLISH)
  preparation.prepare(
    stores_lib.Given(corpus(one)),
    folder / 'store',
    config,
    holdouts.Holdout(2, 0),
  )
  if damaged:
    with contextlib.closing(
      sqlite3.connect(folder / 'store' / client_store.DATABASE)
    ) as database:
      database.execute(
        'UPDATE records SET record = substr(record, 1, length(record) / 2)'
        ' WHERE client_id = ?',
        (one,),
      )
      database.commit()
    checksums.add(folder / 'store' / client_store.DATABASE)
  settings = train.TrainConfig(
    train_store=folder / 'store',
    eval_store=folder / 'store-holdout',
    output_dir=folder / 'run',
    model=MODEL,
    regularisation={},
    precision='float32',
    seed_model=None,
    seed_clients=3,
    # Tempo is changed by threads that take chance in any order.
    central=central.CentralConfig(
      epochs=1, batch_seconds=9.0, learning_rate=1e-3, max_tempo_change=0.0
    ),
    rounds=2,
    batches=batching.BatchConfig(seconds=9.0, epochs=1),
    federated=federated.FederatedConfig(0.1, 1.0, 'lamb', 0.01),
    privacy=privacy_config.PrivacyConfig(
      sampling=schemes.SamplingSettings(sampling=sampling, cohort_size=3),
      mechanism=gaussian.Gaussian(
        clipping=layer_clipping.LayerClipping(0.1), noise_multiplier=0.5
      ),
      budget=privacy_config.Budget(delta=1e-6),
    ),
    evaluate_every=1,
    evaluate_clients=1,
    checkpoint_every=1,
    keep_checkpoints=2,
    execution=execution.ExecutionConfig(clients_per_device=1),
    seed=0,
  )
  flags = {'train_store': str(settings.train_store), 'cohort_size': '3'}
  print(train.train(settings, flags))


def files(folder: pathlib.Path) -> dict[str, bytes]:
  """All that a run leaves, by name."""
  found = {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob('*'))
    if path.is_file() and path.name not in OUTSIDE
  }
  # Nor are the sums of those files compared.
  lines = found[checksums.NAME].decode().splitlines(keepends=True)
  kept = [line for line in lines if line.split()[1] not in OUTSIDE]
  assert len(kept) < len(lines)
  return {**found, checksums.NAME: ''.join(kept).encode()}


def difference(first: bytes, second: bytes) -> str:
  """The first lines that differ, for a report."""
  lines = (
    text.decode(errors='replace').split('\n') for text in (first, second)
  )
  found = difflib.unified_diff(*lines, n=0, lineterm='')
  return '\n'.join(line[:300] for line in itertools.islice(found, 12))


@pytest.fixture(scope='module', autouse=True)
def _same_process():
  """Of two runs by one plan, to which the process is the same."""
  build = functools.cache(federated.build_learning_process)
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(federated, 'build_learning_process', build)
    yield


@pytest.fixture(scope='module')
def known():
  """What runs have left, by their settings."""
  return {}


@pytest.fixture
def left(tmp_path_factory, known, capfd):
  """Runs in the same folder; returns files and printed lines of each."""

  def of(one, **settings):
    key = one, *settings.items()
    if key not in known:
      known[key] = fresh(one, **settings)
    return known[key]

  def fresh(one, **settings):
    folder = tmp_path_factory.getbasetemp() / 'neighbours'
    folder.mkdir()
    capfd.readouterr()
    with same_chance():
      try:
        run(folder, one, **settings)
      except errors.UserError as error:  # A line that a user would see.
        print(error)
    printed = ''.join(capfd.readouterr())
    found = {
      **files(folder / 'run'),
      'printed': printed.encode(),
      'held-out store': (
        folder / 'store-holdout' / client_store.METADATA
      ).read_bytes(),
    }
    shutil.rmtree(folder)
    return found

  return of


@pytest.mark.parametrize(
  ('name', 'damaged'),
  [*((name, False) for name in schemes.SCHEMES), ('none', True)],
)
def test_neighbours_leave_the_same(left, failed, name, damaged):
  one = left(ONE, sampling=name)
  settings = dict(damaged=True) if damaged else {}
  failed.clear()
  another = left(ANOTHER, sampling=name, **settings)
  assert bool(failed) == damaged
  assert all(ANOTHER in str(error) for error in failed)
  assert one.keys() == another.keys()
  assert {k: len(v) for k, v in one.items()} == {
    k: len(v) for k, v in another.items()
  }
  for file, content in one.items():
    assert content == another[file], (
      f'{file}\n{difference(content, another[file])}'
    )
  for file, content in another.items():
    assert ANOTHER.encode() not in content, file
  # Both clients are in the population: nothing else is compared.
  assert b'5 clients in the population' in one['printed']
  assert b'federated model, 2 rounds' in one['printed']
