"""A file is what was written, or named; a kill leaves nothing to refuse."""

import hashlib
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from tests import kills
from tests.kills import without_sync  # noqa: F401
from tff_asr import checksums, errors

NAMES = st.sampled_from(['a.txt', 'b.json', 'c'])
CONTENTS = st.binary(max_size=20)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(NAMES, st.none() | CONTENTS), max_size=8))
def test_what_was_written_last_is_read(tmp_path_factory, steps):
  folder = tmp_path_factory.mktemp('folder')
  last = {}
  for name, contents in steps:
    if contents is None:
      checksums.remove(folder / name)
      last.pop(name, None)
    else:
      checksums.write(folder / name, contents)
      last[name] = contents
  for name in 'a.txt', 'b.json', 'c':
    assert checksums.exists(folder / name) == (name in last)
    if name in last:
      assert checksums.read(folder / name) == last[name]
      checksums.check(folder / name)
  found = {path.name for path in folder.iterdir()} - {checksums.NAME}
  assert found == last.keys()


@settings(max_examples=15, deadline=None)
@given(st.binary(min_size=1, max_size=20), st.data())
def test_whatever_was_changed_is_named(tmp_path_factory, contents, data):
  path = tmp_path_factory.mktemp('folder') / 'file'
  checksums.write(path, contents)
  checksums.write(path.with_name('other'), b'')
  changed = data.draw(st.binary(max_size=25).filter(lambda c: c != contents))
  path.write_bytes(changed)
  for use in checksums.read, checksums.check:
    with pytest.raises(errors.UserError, match=f'{path} is not as it was'):
      use(path)
  path.unlink()
  for use in checksums.read, checksums.check, checksums.exists:
    with pytest.raises(errors.UserError, match=f'{path} is missing'):
      use(path)
  # Who did it on purpose is told what to do.
  sums = path.with_name(checksums.NAME)
  lines = sums.read_text().splitlines(keepends=True)
  sums.write_text(''.join(line for line in lines if 'file' not in line))
  assert not checksums.exists(path)
  path.write_bytes(changed)
  assert checksums.read(path) == changed


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_sums_that_are_damaged_let_pass_only_what_is_right(
  tmp_path_factory, data
):
  path = tmp_path_factory.mktemp('folder') / 'file'
  checksums.write(path, b'contents')
  sums = path.with_name(checksums.NAME)
  whole = sums.read_bytes()
  at = data.draw(st.integers(0, len(whole) - 1))
  byte = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
  sums.write_bytes(whole[:at] + byte + whole[at + 1 :])
  try:
    assert checksums.read(path) == b'contents'
  except errors.UserError as error:
    assert checksums.NAME in str(error)


def test_a_folder_without_sums_is_read_as_it_is(tmp_path):
  path = tmp_path / 'file'
  path.write_bytes(b'old')
  assert checksums.exists(path) and checksums.read(path) == b'old'
  checksums.check(path)
  assert not checksums.exists(tmp_path / 'other')
  checksums.write(path, b'new')
  assert checksums.read(path) == b'new'


def test_sha256sum_reads_them(tmp_path):
  (tmp_path / 'inner').mkdir()
  (tmp_path / 'inner' / 'file').write_bytes(b'1')
  checksums.write_all(tmp_path)
  checksums.check_all(tmp_path)
  checksums.write(tmp_path / 'other', '2')
  expected = hashlib.sha256(b'2').hexdigest()
  assert expected in (tmp_path / checksums.NAME).read_text()
  subprocess.run(
    ['sha256sum', '--strict', '--quiet', '-c', checksums.NAME],
    cwd=tmp_path,
    check=True,
  )
  (tmp_path / 'inner' / 'file').unlink()
  with pytest.raises(errors.UserError, match='file is missing'):
    checksums.check_all(tmp_path)


@pytest.mark.parametrize('is_old', [False, True])
def test_a_kill_at_any_point_leaves_the_old_or_the_new(tmp_path, is_old):
  """Also of a folder that was begun without check sums."""
  one, two = tmp_path / 'one', tmp_path / 'two'

  def body():
    checksums.write(one, '1')
    with checksums.replacing(one, two) as asides:
      for aside in asides:
        aside.write_bytes(b'2')
    checksums.write(two, '3')
    checksums.remove(one)
    checksums.write(one, '4')

  points = 0
  for number in kills.at_every_point(body):
    points = number
    for path in one, two:
      if checksums.exists(path):
        assert checksums.read(path) in (b'0', b'1', b'2', b'3', b'4')
    # What was begun can be done again.
    checksums.write(two, '0')
    body()
    assert (checksums.read(one), checksums.read(two)) == (b'4', b'3')
    for path in tmp_path.iterdir():
      path.unlink()
    if is_old:
      one.write_bytes(b'0')
  assert points > 30
