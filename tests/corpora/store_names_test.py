"""Names of stores: random, one for each, also for one of an earlier release."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests import stores
from tff_asr import checksums, errors
from tff_asr.corpora import client_store, store_names

ITEMS = [stores.make('a', '1'), stores.make('b', '2')]


@pytest.fixture
def old(tmp_path):
  """A store as earlier releases left it, without a name."""
  path = tmp_path / 'old'
  stores.write(path, ITEMS)
  metadata = json.loads((path / 'store.json').read_text())
  del metadata['name']
  (path / checksums.NAME).unlink()
  (path / 'store.json').write_text(json.dumps(metadata, indent=2) + '\n')
  return path


def test_a_store_prepared_again_has_the_content_and_another_name(tmp_path):
  one, two = (stores.opened(tmp_path / name, ITEMS) for name in 'ab')
  assert one.digest == two.digest and one.name != two.name
  assert client_store.ClientStore(one.path).name == one.name == one.give_name()
  assert [p.name for p in one.path.glob('store*')] == ['store.json']


def test_an_old_store_keeps_its_content_hash_and_gets_a_name_once(
  old, tmp_path
):
  opened = client_store.ClientStore(old)
  assert opened.name is None
  assert opened.digest == stores.opened(tmp_path / 'new', ITEMS).digest
  name = opened.give_name()
  assert name.startswith('store-') and opened.name == name
  again = client_store.ClientStore(old)
  assert again.name == again.give_name() == name
  assert again.digest == opened.digest


def test_one_that_was_opened_before_it_had_a_name_gets_the_same(old):
  first, second = client_store.ClientStore(old), client_store.ClientStore(old)
  assert first.give_name() == second.give_name()


_PROGRAM = """
import pathlib, sys
sys.path[:0] = {path!r}
from tff_asr.corpora import store_names
input()
print(store_names.give(pathlib.Path({store!r})))
"""


def test_processes_agree_on_a_name(old):
  program = _PROGRAM.format(path=sys.path, store=str(old))
  calls = [
    subprocess.Popen(
      [sys.executable, '-c', program],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    for _ in range(4)
  ]
  for call in calls:
    call.stdin.write('\n')
    call.stdin.flush()
  found = {call.communicate()[0].strip() for call in calls}
  assert found == {client_store.ClientStore(old).name}
  assert len(list(old.glob('store_name.txt*'))) == 1


@pytest.mark.parametrize('fails', ['open', 'link'])
def test_where_no_name_can_be_written_it_says_so(old, monkeypatch, fails):
  """As on a file system that cannot be written, or has no hard links."""
  opened = client_store.ClientStore(old)

  def fail(*args):
    raise PermissionError(1, 'Operation not permitted')

  with monkeypatch.context() as patch:
    if fails == 'open':
      patch.setattr(store_names, 'open', fail, raising=False)
    else:
      patch.setattr(os, 'link', fail)
    with pytest.raises(errors.UserError, match=r'not permitted.*writable'):
      opened.give_name()
  assert not list(pathlib.Path(old).glob('store_name.txt*'))


@pytest.mark.parametrize(
  'damage', ['', 'store-', 'a' * 64, 'store-' + 'G' * 32, '\udc80']
)
def test_a_damaged_name_is_an_error(old, damage):
  (old / 'store_name.txt').write_text(damage, errors='surrogateescape')
  with pytest.raises(errors.UserError, match='damaged'):
    client_store.ClientStore(old)
  metadata = json.loads((old / 'store.json').read_text())
  (old / 'store.json').write_text(json.dumps(metadata | {'name': [damage]}))
  with pytest.raises(errors.UserError, match='damaged'):
    client_store.ClientStore(old)
