"""Damage on a disk is named, or changes nothing.

Bytes of a run's folder, of a store and of an export are changed at random, and
whole files are cut; then all is read as the commands do.
"""

import asyncio
from collections.abc import Callable
import dataclasses
import pathlib
import random
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.commands import training
from tff_asr import errors
from tff_asr.commands import export
from tff_asr.corpora import client_store
from tff_asr.models import model_folder
from tff_asr.privacy.accounting import ledger
from tff_asr.privacy.mechanism import bounds
from tff_asr.reports import model_card
from tff_asr.runs import (
  accounts,
  checkpoints,
  folders,
  lineage,
  metrics_file,
  records,
)
from tff_asr.serving import client

_FLIPS = 200
_SEED = 1
_STATES = 'checkpoints'


@dataclasses.dataclass(frozen=True)
class _Place:
  """A folder that may be damaged.

  Attributes:
    path: The folder.
    read: Reads what is in it.
    expected: Its result as long as nothing is damaged, and one that may be
      returned with a warning instead.
  """

  path: pathlib.Path
  read: Callable[[], Any]
  expected: Any
  instead: Any = None

  @property
  def files(self) -> list[pathlib.Path]:
    """Files that may be damaged, sorted."""
    found = sorted(path for path in self.path.rglob('*') if path.is_file())
    return [path for path in found if path.stat().st_size]


@pytest.fixture(scope='module')
def places(unprotected, quick, tmp_path_factory):
  """Copies of a run, of its store and of its export, by name."""
  base = tmp_path_factory.mktemp('damage')
  run = base / 'run'
  shutil.copytree(unprotected[0], run)
  shutil.copytree(quick.train_store, base / 'store')
  export.export(run, base / 'served', 'asr', 0, 9.0, ['int8'])
  structure = checkpoints._read(run / _STATES / 'round_000001.npz')

  def state():
    kept = checkpoints.Checkpoints(run / _STATES, 9)
    try:
      found, number = asyncio.run(kept.load_latest(structure))
    finally:
      for path in (run / _STATES).glob('*.damaged'):
        path.rename(path.with_suffix('.npz'))
    ledger.Ledger(run / 'ledger.jsonl').check_fits(number, str(found['entry']))
    return {name: leaf.tobytes() for name, leaf in found.items()}, number

  def store():
    opened = client_store.ClientStore(base / 'store')
    opened.check_content()
    return opened.client_ids, opened.client_seconds, opened.digest, opened.name

  def served():
    model = client.LocalClient(base / 'served')
    return model.transcribe([np.arange(16_000, dtype=np.int16)])

  readers = {
    run: lambda: _record(run),
    run / 'seed_model': lambda: _model(run, 'seed_model', quick.eval_store),
    run / 'model': lambda: _model(run, 'model', quick.eval_store),
    run / _STATES: state,
    base / 'store': store,
    base / 'served': served,
  }
  found = {path.name: _Place(path, r, r()) for path, r in readers.items()}
  newest = run / _STATES / 'round_000001.npz'
  newest.rename(newest.with_suffix('.away'))
  found[_STATES] = dataclasses.replace(found[_STATES], instead=state())
  newest.with_suffix('.away').rename(newest)
  return found


def _record(path):
  """Reads a run as the commands that look at one do."""
  run = records.read(path)
  return (
    *(run.flags, run.stores, run.store_names, run.rows, run.summary),
    *(run.transcripts, run.lineage, run.layers, run.account.statement(1)),
    *(model_card.card_of(run), export._card(run)),
    # The state of a checkout may change under a test.
    {**export.provenance(run), 'exported_with': None},
    accounts.of_ledgers([path], 1e-9),
    bounds.read(run.paths.layer_bounds),
    folders.read_flags(run.paths.flags),
  )


def _model(path, name, eval_store):
  opened = client_store.ClientStore(eval_store)
  trained_on = lineage.of_run(path / name)
  lineage.check_evaluated(trained_on, opened, False)
  lineage.require(path / name)
  encoder, vocabulary = model_folder.load(path / name)
  weights = b''.join(w.tobytes() for w in encoder.get_weights())
  return trained_on, encoder.config, vocabulary.to_json(), weights


def _of(places, path):
  """The innermost of the places that a file is in."""
  return max(
    (p for p in places.values() if path.is_relative_to(p.path)),
    key=lambda p: len(p.path.parts),
  )


def _check_harmless_or_named(place, path, caplog):
  """Reads a place with a damaged file in it."""
  caplog.clear()
  try:
    found = place.read()
  except errors.UserError as error:
    assert path.name in str(error) and '\n' not in str(error), error
    return
  if found != place.expected:
    assert found == place.instead
    assert f'{path} is damaged' in caplog.text or (
      'but the last checkpoint is of round 0' in caplog.text
      and not path.exists()
    )


def test_200_changed_bytes_are_named_or_harmless(places, caplog):
  chance = random.Random(_SEED)
  files = sorted({path for place in places.values() for path in place.files})
  for _ in range(_FLIPS):
    path = chance.choice(files)
    contents = path.read_bytes()
    at, mask = chance.randrange(len(contents)), chance.randrange(1, 256)
    changed = bytes([contents[at] ^ mask])
    path.write_bytes(contents[:at] + changed + contents[at + 1 :])
    try:
      _check_harmless_or_named(_of(places, path), path, caplog)
    except Exception as error:
      raise AssertionError(f'byte {at} of {path}, mask {mask}') from error
    finally:
      path.write_bytes(contents)


def _empty(contents):
  del contents
  return b''


def _half(contents):
  return contents[: len(contents) // 2]


def _zeroed(contents):
  """As where the last block never reached the disk."""
  return contents[:-512] + bytes(min(512, len(contents)))


def _removed(contents):
  del contents


@pytest.mark.parametrize('damage', [_empty, _half, _zeroed, _removed])
def test_damaged_files_are_named_or_harmless(places, caplog, damage):
  for place in places.values():
    for path in place.files:
      if _of(places, path) != place:
        continue
      contents = path.read_bytes()
      changed = damage(contents)
      if changed is None:
        path.unlink()
      else:
        path.write_bytes(changed)
      try:
        _check_harmless_or_named(place, path, caplog)
      except Exception as error:
        raise AssertionError(f'{path}') from error
      finally:
        path.write_bytes(contents)


@pytest.mark.parametrize('use', ['train_store', 'eval_store'])
def test_a_run_on_a_damaged_store_ends_before_anything_is_kept(
  quick, tmp_path, use
):
  """Also where the damage is in the sound, which can be read all the same."""
  path = tmp_path / 'store'
  shutil.copytree(getattr(quick, use), path)
  opened = client_store.ClientStore(path)
  sound = opened.all_records(tf.constant(opened.client_ids[0]))['audio'][0]
  database = path / 'clients.sqlite'
  contents = database.read_bytes()
  at = contents.index(sound.numpy()[:400])
  database.write_bytes(
    contents[: at + 9] + bytes([contents[at + 9] ^ 4]) + contents[at + 10 :]
  )
  output_dir = tmp_path / 'run'
  message = f'{database} is not as it was written'
  training.refused(quick, output_dir, message, **{use: path})
  assert not (output_dir / 'model').exists()
  assert metrics_file.read(output_dir / 'metrics.csv') == []
