"""Versions appear whole or not at all."""

import multiprocessing
import shutil

import pytest

from tff_asr import errors
from tff_asr.serving import versions


def write(folder):
  (folder / 'variables').mkdir()
  (folder / 'variables' / 'data').write_text(folder.name)
  (folder / 'saved_model.pb').write_text('x')


def test_the_next_number_is_free(tmp_path):
  folder = tmp_path / 'deep' / 'asr'
  assert [versions.add(folder, write).name for _ in range(2)] == ['1', '2']
  (folder / '7').mkdir()
  for other in '12.old', '0123', '²':
    (folder / other).mkdir()
  newest = versions.add(folder, write)
  assert newest.name == '8' and versions.find(folder) == newest
  assert versions.find(folder / '2') == folder / '2'
  assert (folder / '2/variables/data').read_text() == 'partial-2'
  assert versions.find(folder, 2) == folder / '2'
  with pytest.raises(errors.UserError, match=r'no version 3 .* has 1, 2, 7, 8'):
    versions.find(folder, 3)


def test_a_number_is_never_given_again(tmp_path):
  """Not after its version was deleted: somebody may be asking for it."""
  newest = [versions.add(tmp_path, write) for _ in range(2)][-1]
  shutil.rmtree(newest)
  assert versions.add(tmp_path, write).name == '3'
  assert versions.find(tmp_path).name == '3'


def test_what_fails_leaves_nothing(tmp_path):
  versions.add(tmp_path, write)

  def fail(folder):
    write(folder)
    assert not (tmp_path / '2').exists()
    raise OSError('no space')

  with pytest.raises(OSError, match='no space'):
    versions.add(tmp_path, fail)
  assert {p.name for p in tmp_path.iterdir()} == {'1', '.lock'}
  # A call that was killed leaves its folder, which no server looks at.
  (tmp_path / 'partial-2' / 'variables').mkdir(parents=True)
  assert versions.add(tmp_path, write).name == '2'
  assert {p.name for p in tmp_path.iterdir()} == {'1', '2', '.lock'}


def _add(folder):
  return versions.add(folder, write).name


def test_calls_at_once_have_numbers_of_their_own(tmp_path):
  with multiprocessing.get_context('fork').Pool(4) as pool:
    names = pool.map(_add, [tmp_path] * 12)
  assert sorted(map(int, names)) == list(range(1, 13))


def test_where_nothing_can_be_is_named(tmp_path):
  with pytest.raises(errors.UserError, match='no exported model'):
    versions.find(tmp_path)
  with pytest.raises(errors.UserError, match='no exported model'):
    versions.find(tmp_path / 'nowhere')
  (tmp_path / 'file').write_text('x')
  with pytest.raises(errors.UserError, match='is a file'):
    versions.add(tmp_path / 'file', write)
