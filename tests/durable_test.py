"""Files are as they were, or whole; a full disk is said in one line."""

import errno
import os
import pathlib
import sqlite3
import subprocess
import sys

import pytest

from tff_asr import durable, errors

ROOT = pathlib.Path(__file__).parents[1]

_LIMITED = """
import pathlib, resource, sys
from tff_asr import durable
path = pathlib.Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), -1))
try:
  durable.write_text(path, 'new' * 1_000)
except OSError as error:
  print(durable.in_words(error))
"""


@pytest.mark.parametrize('room', [0, 1, 2_999, 3_000])
def test_a_file_is_as_it_was_or_whole(tmp_path, room):
  path = tmp_path / 'file'
  path.write_text('old')
  done = subprocess.run(
    [sys.executable, '-c', _LIMITED, path, str(room)],
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  if room < 3_000:
    assert done.stdout == f'File too large: {path}\n'
    assert path.read_text() == 'old'
  else:
    assert path.read_text() == 'new' * 1_000
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
  'error',
  [
    OSError(errno.ENOSPC, 'No space left on device'),
    sqlite3.OperationalError('database or disk is full'),
    RuntimeError("Can't decrement id ref count (errno = 28, error message)"),
    ValueError('UNKNOWN: x/y; No space left on device [Op:SaveV2]'),
  ],
)
def test_a_full_disk_is_named_whoever_found_it(tmp_path, error):
  with pytest.raises(OSError) as raised, durable.writing(tmp_path):
    raise error
  expected = f'no space left on device: {tmp_path}'
  assert durable.in_words(raised.value) == expected


@pytest.mark.parametrize(
  'error',
  [
    errors.UserError('No space left on device: make room'),
    OSError(errno.EACCES, 'Permission denied', 'name'),
    OSError(errno.ENOSPC, 'No space left on device', 'name'),
    KeyError('x'),
  ],
)
def test_other_errors_stay_as_they_are(tmp_path, error):
  with pytest.raises(type(error)) as raised, durable.writing(tmp_path):
    raise error
  assert raised.value is error


def test_dev_full_is_full():
  with (
    pytest.raises(OSError, match='/dev/full') as raised,
    durable.writing(pathlib.Path('/dev/full')),
    open('/dev/full', 'w') as file,
  ):
    file.write('x')
    file.flush()
  assert durable.in_words(raised.value) == 'no space left on device: /dev/full'
