"""Ctrl-C at defined moments of a command, from inside of its process."""

import pathlib
import subprocess
import sys

import pytest

from tests.pipelines.streams_test import environment

ROOT = pathlib.Path(__file__).parents[2]

# Sends the signal when a module is about to be imported.
_IN_IMPORTS = """
import importlib.abc, runpy, signal, sys

class Finder(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path, target=None):
    if name == MODULE:
      signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ['x', '--help']
runpy.run_module('pipelines.COMMAND', run_name='__main__', alter_sys=True)
"""

# Sends it when a file is opened: before, in and after `main`.
_IN_CALL = """
import atexit, gc, signal, sys, time
from pipelines import command_line

def interrupt(*_):
  signal.raise_signal(signal.SIGINT)

class Deleted:
  __del__ = interrupt

def callback(phase, info):
  gc.callbacks.clear()
  interrupt()

def main():
  BEFORE
  for _ in range(3_000):
    time.sleep(0.01)
  return 'done'

PRELUDE
command_line.run(main)
"""


def call(code):
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    env=environment(TF_CPP_MIN_LOG_LEVEL='3'),
    capture_output=True,
    text=True,
    restore_signals=True,
  )
  return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
  ('command', 'module'),
  [
    ('train', 'tensorflow'),
    ('train', 'jax'),
    ('train', 'tensorflow_federated'),
    ('train', 'tff_asr.reports'),
    ('prepare', 'tff_asr.commands'),
    ('privacy', 'pipelines.streams'),
  ],
)
def test_an_interrupt_in_the_imports_ends_in_one_line(command, module):
  code = _IN_IMPORTS.replace('MODULE', repr(module))
  found = call(code.replace('COMMAND', command))
  assert found == (130, '', 'Interrupted.\n')


@pytest.mark.parametrize(
  ('before', 'prelude'),
  [
    ('interrupt()', ''),
    # Python drops errors in these.
    ('gc.callbacks.append(callback); gc.collect()', ''),
    ('Deleted()', ''),
    # Before the flags are read.
    ('', "sys.argv.append('--flagfile=x'); sys.addaudithook(opened)"),
  ],
)
def test_no_interrupt_is_dropped(before, prelude):
  opened = "opened = lambda e, a: e == 'open' and a[0] == FILE and interrupt()"
  opened = opened.replace('FILE', repr(str(ROOT / 'x')))
  code = _IN_CALL.replace('BEFORE', before or 'pass')
  code = code.replace('PRELUDE', f'{opened}\n{prelude}')
  assert call(code) == (130, '', 'Interrupted.\n')


def test_an_interrupt_at_the_very_end_is_one_line_too():
  code = _IN_CALL.replace('BEFORE', "return 'done'")
  code = code.replace('PRELUDE', 'atexit.register(interrupt)')
  assert call(code) == (130, 'done\n', 'Interrupted.\n')


def test_a_program_that_imports_a_command_keeps_its_own_handling():
  code = """
import signal
from pipelines import train
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
  assert call(code)[0] == 0


def test_an_ignored_signal_stays_ignored():
  """As after `nohup` and in the background of a script."""
  ignore = 'signal.signal(signal.SIGINT, signal.SIG_IGN)'
  code = _IN_CALL.replace('BEFORE', "interrupt(); return 'done'")
  code = code.replace('PRELUDE', ignore)
  assert call(code) == (0, 'done\n', '')
