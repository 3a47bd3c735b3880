"""Making of stores that is stopped, and gone on with."""

import dataclasses
import functools
import json
import math
import os
import pathlib
import resource
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from tests import stores
from tests.stores import make
from tff_asr import errors
from tff_asr.corpora import (
  client_store,
  holdouts,
  preparation,
  store_writer,
  utterance,
)

CONFIG = preparation.StoreConfig(stores.ENGLISH)


class Interrupted(stores.Given):
  """A corpus whose reading breaks off before an item."""

  def __init__(self, items, at):
    super().__init__(items)
    self.at = at
    self.surveyed = False

  def items(self):
    for number, item in enumerate(self._items):
      if self.surveyed and number == self.at:
        raise KeyboardInterrupt
      yield item
    self.surveyed = True


def content(path):
  opened = client_store.ClientStore(path)
  return {
    client: [(name, audio.tobytes()) for name, _, audio in found]
    for client in opened.client_ids
    for found in [stores.records(opened, client)]
  }


def all_of(path):
  """What a store says of itself but for its name, and what is in it."""
  said = json.loads((path / 'store.json').read_text())
  del said['name']
  return said, (path / 'skipped.tsv').read_text(), content(path)


def either(path):
  """A store, or what is there until it is complete."""
  return path if path.exists() else store_writer.partial_of(path)


def names(paths):
  """The names of those stores that have been completed, published or not."""
  found = [path / 'store.json' for path in paths]
  texts = [path.read_text() for path in found if path.exists()]
  return {json.loads(text)['name'] for text in texts if text}


class Interrupts:
  """Interrupts at one of the calls that change what is on the disk."""

  def __init__(self, monkeypatch, at=None, is_before=False):
    self.calls, self.at, self.is_before = 0, at, is_before

    class Connection(sqlite3.Connection):
      execute = self.interrupting(sqlite3.Connection.execute)
      executescript = self.interrupting(sqlite3.Connection.executescript)

    connect = functools.partial(sqlite3.connect, factory=Connection)
    monkeypatch.setattr(store_writer.sqlite3, 'connect', connect)
    for module, name in ((os, 'fsync'), (pathlib.Path, 'rename')):
      function = self.interrupting(getattr(module, name))
      monkeypatch.setattr(module, name, function)

  def interrupting(self, function):
    def call(*args):
      self.calls += 1
      if self.calls != self.at:
        return function(*args)
      if not self.is_before:
        function(*args)
      raise KeyboardInterrupt

    return call


@pytest.mark.parametrize(
  ('is_before', 'pause', 'held_out'),
  [
    (False, -1.0, holdouts.Holdout(2, 0)),
    (True, -1.0, holdouts.Holdout(2, 0)),
    (False, math.inf, None),
    (True, math.inf, None),
  ],
)
def test_wherever_it_was_stopped_it_is_gone_on_with(
  tmp_path, monkeypatch, is_before, pause, held_out
):
  monkeypatch.setattr(store_writer, '_COMMIT_SECONDS', pause)
  monkeypatch.setattr(preparation, '_AHEAD', 0)
  items = [make(f'c{i % 3}', f'{i}', 4_800 + i) for i in range(5)]
  items[4] = utterance.Skipped('c1', '4', 'lost')
  # The draw holds out c0 and c2; c1 shares this with c0, and has its own.
  items += [dataclasses.replace(items[1], client_id='c0'), make('c1', '5')]
  source = stores.Given(items)
  with monkeypatch.context() as patch:
    interrupts = Interrupts(patch)
    preparation.prepare(source, tmp_path / 'whole', CONFIG, held_out)
  ends = ['', '-holdout'] if held_out else ['']
  whole = [all_of(tmp_path / f'whole{end}') for end in ends]
  assert ('under a held-out speaker' in whole[0][1]) == bool(held_out)
  for at in range(1, interrupts.calls + 1):
    name = f'stopped{at}'
    paths = [tmp_path / f'{name}{end}' for end in ends]
    with monkeypatch.context() as patch:
      Interrupts(patch, at, is_before)
      with pytest.raises(KeyboardInterrupt):
        preparation.prepare(source, paths[0], CONFIG, held_out)
    named = names(path for path in map(either, paths) if path.exists())
    if not all(path.exists() for path in paths):
      preparation.prepare(source, paths[0], CONFIG, held_out)
    assert named <= names(paths)
    assert [all_of(path) for path in paths] == whole
  assert not list(tmp_path.glob('*.partial'))


@pytest.mark.parametrize('held_out', [None, holdouts.Holdout(2, 0)])
@pytest.mark.parametrize('at', [1, 7, 19])
def test_what_was_stopped_is_gone_on_with(tmp_path, monkeypatch, at, held_out):
  monkeypatch.setattr(preparation, '_AHEAD', 0)
  items = [make(f'c{i % 5}', f'{i}', 4_800 + i) for i in range(20)]
  path, steps = tmp_path / 'store', []
  with pytest.raises(KeyboardInterrupt):
    preparation.prepare(Interrupted(items, at), path, CONFIG, held_out)
  preparation.prepare(
    stores.Given(items),
    path,
    CONFIG,
    held_out,
    lambda done, *_: steps.append(done),
  )
  assert steps == list(range(at, 21))  # What is done is not done again.


@pytest.mark.parametrize('pause', [-1.0, math.inf])
@pytest.mark.parametrize('kilobytes', [40, 100, 200, 280])
def test_after_a_full_disk_it_is_gone_on_with(
  tmp_path, monkeypatch, kilobytes, pause
):
  monkeypatch.setattr(store_writer, '_COMMIT_SECONDS', pause)
  items = [make(f'c{i % 5}', f'{i}', 4_800 + i) for i in range(30)]
  stores.write(tmp_path / 'whole', items)
  unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1_000, unlimited[1]))
  try:
    with pytest.raises(errors.UserError, match='cannot be written'):
      stores.write(tmp_path / 'full', items)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
  stores.write(tmp_path / 'full', items)
  assert content(tmp_path / 'full') == content(tmp_path / 'whole')


def test_other_settings_are_not_gone_on_with(tmp_path, monkeypatch):
  monkeypatch.setattr(preparation, '_AHEAD', 0)
  items = [make('a', f'{i}', 4_800 + i) for i in range(20)]
  path = tmp_path / 'store'
  with pytest.raises(KeyboardInterrupt):
    preparation.prepare(Interrupted(items, 19), path, CONFIG)
  with pytest.raises(errors.UserError, match='another `max_seconds`'):
    stores.write(path, items, max_seconds=9.0)
  preparation.prepare(stores.Given(items), path, CONFIG)


@pytest.mark.parametrize('done', [5, 8])  # Of eight.
@pytest.mark.parametrize(
  'change',
  [
    lambda items: items[1:] + items[:1],
    lambda items: items[:4],
    lambda items: [dataclasses.replace(items[0], text='no'), *items[1:]],
    lambda items: [utterance.Skipped('a', '0', 'lost'), *items[1:]],
    lambda items: [
      dataclasses.replace(items[0], audio=-items[0].audio),
      *items[1:],
    ],
  ],
)
def test_a_changed_corpus_is_not_gone_on_with(
  tmp_path, monkeypatch, change, done
):
  monkeypatch.setattr(preparation, '_AHEAD', 0)
  items = [make('a', f'{i}', 4_800 + i) for i in range(8)]
  path = tmp_path / 'store'

  def stop_at(number, *_):
    if number == done:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    preparation.prepare(stores.Given(items), path, CONFIG, progress=stop_at)
  with pytest.raises(errors.UserError, match='corpus has changed'):
    preparation.prepare(stores.Given(change(items)), path, CONFIG)
  preparation.prepare(stores.Given(items), path, CONFIG)


def test_a_speaker_who_comes_before_the_split_takes_part_in_it(
  tmp_path, monkeypatch
):
  """A new one who is held out in place of another."""
  monkeypatch.setattr(preparation, '_AHEAD', 0)
  items = [make(f'c{i % 9}', f'{i}', 4_800 + i) for i in range(18)]
  draw = holdouts.Holdout(4, 0)
  new = next(
    name
    for name in map('d{}'.format, range(99))
    if name in draw.split([*(f'c{i}' for i in range(9)), name])
  )
  path = tmp_path / 'store'
  with pytest.raises(KeyboardInterrupt):
    preparation.prepare(Interrupted(items, 15), path, CONFIG, draw)
  more = stores.Given([*items, make(new, 'new')])
  preparation.prepare(more, path, CONFIG, draw)
  preparation.prepare(more, tmp_path / 'whole', CONFIG, draw)
  for end in '', '-holdout':
    found, expected = (tmp_path / f'{n}{end}' for n in ('store', 'whole'))
    assert all_of(found) == all_of(expected)


def stopped_after_the_split(path, items, draw, monkeypatch):
  """Leaves what a call leaves that is stopped when it has split the store."""

  def stop(*_):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(store_writer.StoreWriter, 'complete', stop)
    with pytest.raises(KeyboardInterrupt):
      preparation.prepare(stores.Given(items), path, CONFIG, draw)


def test_a_store_is_split_once(tmp_path, monkeypatch):
  items = [make(f'c{i % 5}', f'{i}', 4_800 + i) for i in range(10)]
  path, draw = tmp_path / 'store', holdouts.Holdout(2, 0)
  stopped_after_the_split(path, items, draw, monkeypatch)
  with pytest.raises(errors.UserError, match='split with other'):
    preparation.prepare(
      stores.Given(items), path, CONFIG, holdouts.Holdout(1, 0)
    )
  with pytest.raises(errors.UserError, match='split with other'):
    preparation.prepare(stores.Given(items), path, CONFIG)
  more = stores.Given([*items, make('new', 'new')])
  with pytest.raises(errors.UserError, match='corpus has changed'):
    preparation.prepare(more, path, CONFIG, draw)
  held = store_writer.partial_of(tmp_path / 'store-holdout')
  held.rename(tmp_path / 'elsewhere')
  with pytest.raises(
    errors.UserError, match=r'remove \S*/store\.partial as well'
  ):
    preparation.prepare(stores.Given(items), path, CONFIG, draw)
  (tmp_path / 'elsewhere').rename(held)
  preparation.prepare(stores.Given(items), path, CONFIG, draw)
  clients = [
    client_store.ClientStore(tmp_path / f'store{end}').client_ids
    for end in ('', '-holdout')
  ]
  assert [len(names) for names in clients] == [3, 2]


def test_nothing_is_decoded_again_where_nobody_could_be_held_out(tmp_path):
  """Of six speakers two have something to say, whoever is drawn."""
  items = [utterance.Skipped(f'l{i}', 'u', 'lost') for i in range(4)]
  items += [make('a', '1'), make('b', '2')]
  path = tmp_path / 'store'
  with pytest.raises(errors.UserError, match='of 2 speakers'):
    preparation.prepare(
      stores.Given(items), path, CONFIG, holdouts.Holdout(2, 0)
    )
  steps = []
  trained, evaluated = preparation.prepare(
    stores.Given(items),
    path,
    CONFIG,
    holdouts.Holdout(1, 0),
    lambda done, *_: steps.append(done),
  )
  assert steps == [6]
  assert (trained.utterances, evaluated.utterances) == (1, 1)
  assert (trained.skipped, evaluated.skipped) == ({'lost': 4}, {})


def test_nothing_of_a_held_out_speaker_is_left_in_the_file(tmp_path):
  items = [make(f'c{i % 4}', f'{i}', 48_000 + i) for i in range(20)]
  path = tmp_path / 'store'
  preparation.prepare(stores.Given(items), path, CONFIG, holdouts.Holdout(2, 0))
  held = client_store.ClientStore(tmp_path / 'store-holdout').client_ids
  file = (path / client_store.DATABASE).read_bytes()
  for item in items:
    part = item.audio[:400].tobytes()
    assert (part in file) == (item.client_id not in held)
  stores.write(
    tmp_path / 'alone', [i for i in items if i.client_id not in held]
  )
  alone = (tmp_path / 'alone' / client_store.DATABASE).stat().st_size
  assert len(file) <= alone + 4 * 4_096


def test_a_store_of_other_settings_is_not_taken_for_half_of_a_pair(
  tmp_path, monkeypatch
):
  """It holds those who were to be held out."""
  monkeypatch.setattr(preparation, '_AHEAD', 0)
  items = [make(f'c{i % 5}', f'{i}', 4_800 + i) for i in range(20)]
  path, draw = tmp_path / 'store', holdouts.Holdout(2, 0)
  with pytest.raises(KeyboardInterrupt):
    preparation.prepare(Interrupted(items, 15), path, CONFIG, draw)
  store_writer.partial_of(path).rename(tmp_path / 'elsewhere')
  stores.write(path, items)
  with pytest.raises(errors.UserError, match='exists already'):
    preparation.prepare(stores.Given(items), path, CONFIG, draw)


def test_what_another_release_left_is_refused(tmp_path):
  partial = tmp_path / 'store.partial'
  partial.mkdir()
  with sqlite3.connect(partial / client_store.DATABASE) as database:
    database.execute('CREATE TABLE progress (position INTEGER)')
  with pytest.raises(errors.UserError, match=r'cannot be used.*remove'):
    stores.write(tmp_path / 'store', [make('a', '1')])


def test_a_call_that_comes_as_another_ends_finds_its_store(tmp_path):
  path = tmp_path / 'store'
  writer = store_writer.StoreWriter(path, {})

  class Late(pathlib.PosixPath):
    """A path that is looked at just before the store gets its name."""

    def exists(self, **kwargs):
      found = super().exists(**kwargs)
      if not found:
        writer.complete({}, {})
        writer.publish()
      return found

  with pytest.raises(store_writer.InUseError, match='just made'):
    store_writer.StoreWriter(Late(path), {})
  assert [p.name for p in tmp_path.iterdir()] == ['store']


def test_two_calls_do_not_write_one_store(tmp_path):
  path = tmp_path / 'store'

  class Second(stores.Given):
    def items(self):
      for item in super().items():
        if path.with_name('store.partial').exists():
          with pytest.raises(errors.UserError, match='Another call'):
            stores.write(path, [make('b', '1')])
        yield item

  preparation.prepare(Second([make('a', '1')]), path, CONFIG)
  assert client_store.ClientStore(path).client_ids == ['a']


_KILLED = """
import pathlib, sys, time
sys.path[:0] = {path!r}
from tests import stores
from tests.corpora import going_on_test as t
class Slow(stores.Given):
  slow = False
  def items(self):
    for item in super().items():
      if self.slow: time.sleep(0.1)
      yield item
    if self.slow: sys.stdin.read()  # It never ends by itself.
    self.slow = True
t.preparation._AHEAD = 0
items = [stores.make(f'c{{i % 5}}', f'{{i}}', 4_800 + i) for i in range(60)]
t.preparation.prepare(Slow(items), pathlib.Path({output!r}), t.CONFIG)
"""


def test_a_killed_call_is_gone_on_with(tmp_path):
  items = [make(f'c{i % 5}', f'{i}', 4_800 + i) for i in range(60)]
  stores.write(tmp_path / 'whole', items)
  program = _KILLED.format(path=sys.path, output=str(tmp_path / 'killed'))
  process = subprocess.Popen(
    [sys.executable, '-c', program], stdin=subprocess.PIPE
  )
  database = tmp_path / 'killed.partial' / client_store.DATABASE
  while process.poll() is None:  # Until something has been committed.
    if database.exists() and database.stat().st_size > 200_000:
      break
    time.sleep(0.05)
  with process:
    os.kill(process.pid, signal.SIGKILL)
  assert database.exists() and not (tmp_path / 'killed').exists()
  steps = []
  preparation.prepare(
    stores.Given(items),
    tmp_path / 'killed',
    CONFIG,
    progress=lambda done, *_: steps.append(done),
  )
  assert steps[0] > 0
  assert content(tmp_path / 'killed') == content(tmp_path / 'whole')
