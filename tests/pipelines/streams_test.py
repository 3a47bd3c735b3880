"""Readers that go away, terminals that cannot write all letters."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

_COMMAND = """
import pathlib, sys
from absl import logging
from pipelines import command_line
def main():
  for i in range(20_000):
    print('a line', i)
    if i % 1_000 == 0:
      logging.warning('a warning')
      print('an error', file=sys.stderr)
  pathlib.Path(sys.argv[-1]).write_text('done')
  return 'the end'
sys.argv = ['x', FILE]
command_line.run(
  lambda _: main(), takes_arguments=True, outlives_reader=GOES_ON
)
"""


def environment(**variables):
  path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
  kept = {k: v for k, v in os.environ.items() if k != 'PYTHONIOENCODING'}
  return {**kept, 'PYTHONPATH': path, **variables}


def started(code, **kwargs):
  return subprocess.Popen(
    [sys.executable, '-c', code],
    stdout=subprocess.PIPE,
    env=environment(**kwargs.pop('variables', {})),
    **kwargs,
  )


@pytest.mark.parametrize('goes_on', [False, True])
@pytest.mark.parametrize('with_errors', [False, True])
def test_a_reader_that_goes_away_is_no_error(tmp_path, goes_on, with_errors):
  """As `| head -1` and `2>&1 | head -1` do."""
  file = tmp_path / 'file'
  code = _COMMAND.replace('FILE', repr(str(file)))
  errors = tmp_path / 'errors'
  with open(errors, 'w') as stderr:
    process = started(
      code.replace('GOES_ON', str(goes_on)),
      stderr=subprocess.STDOUT if with_errors else stderr,
    )
    assert process.stdout.readline()
    process.stdout.close()
    code = process.wait()
  assert code == (0 if goes_on else 141)
  assert file.exists() == goes_on
  assert 'Traceback' not in errors.read_text()
  assert 'Broken' not in errors.read_text()


@pytest.mark.parametrize(
  'variables',
  [
    {'PYTHONIOENCODING': 'ascii:strict'},
    {'PYTHONIOENCODING': 'utf-8:strict'},
    {'LC_ALL': 'C', 'PYTHONCOERCECLOCALE': '0', 'PYTHONUTF8': '0'},
  ],
)
def test_what_a_terminal_cannot_write_is_escaped(variables):
  code = """
import os, sys
from pipelines import command_line
from tff_asr import errors
def main():
  print('caf\\u00e9', os.fsdecode(b'not \\xff UTF-8'))
  raise errors.UserError(os.fsdecode(b'file \\xff'))
command_line.run(main)
"""
  process = started(code, stderr=subprocess.PIPE, variables=variables)
  out, err = process.communicate()
  assert process.returncode == 1
  assert out.startswith(b'caf') and b'not \\udcff UTF-8' in out
  assert err == b'error: file \\udcff\n'


_MAIN = """
from pipelines import command_line
command_line.run(lambda: 'done')
"""


def test_without_a_folder_for_temporary_files_nothing_begins(tmp_path):
  """A limit on the size of files has the same effect as full disks."""
  code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, -1))
{_MAIN}"""
  process = started(code, stderr=subprocess.PIPE)
  out, err = process.communicate()
  assert (process.returncode, out) == (1, b'')
  assert err.startswith(b'error: There is no folder for temporary files')
  assert err.count(b'\n') == 1
  nowhere = {'TMPDIR': str(tmp_path / 'nowhere')}  # Another folder is taken.
  assert started(_MAIN, variables=nowhere).communicate()[0] == b'done\n'
