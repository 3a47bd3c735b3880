"""Every combination is run once, whatever becomes of the others.

The command is a small program in the place of `train`, a real process.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.runs import runs
from tff_asr import errors
from tff_asr.commands import sweep
from tff_asr.runs import folders

ROOT = pathlib.Path(__file__).parents[2]

# Called with a folder and what to do there; says when it was called.
_COMMAND = """
import json, os, pathlib, signal, sys, time
folder, what = pathlib.Path(sys.argv[1]), sys.argv[2]
with open(folder.parent / 'calls', 'a') as file:
  file.write(folder.name + '\\n')
if what == 'fail':
  print('error: it was to fail')
  print('and so it did')
  sys.exit(1)
if what == 'crash':
  1 / 0
if what == 'parent':
  from tff_asr import child_process
  sleep = ['-c', 'import time; print("deep", flush=True); time.sleep(60)']
  child = child_process.start([sys.executable, *sleep])
  (folder.parent / 'pids').write_text(f'{os.getpid()} {child.pid}')
  child.wait()
if what == 'wait':
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
  print('waiting', flush=True)
  time.sleep(3_600)
folder.mkdir(exist_ok=True)
summary = dict(
  rounds=0, wer=0.5, cer=0.2, minutes=1.0, wer_worst_tenth=0.6
)
(folder / 'summary.json').write_text(json.dumps(summary))
(folder / 'flags.txt').write_text(f'--what={what}\\n')
"""
COMMAND = [sys.executable, '-c', _COMMAND]


def trial(folder, name, what='do'):
  path = folder / name
  return sweep.Trial(path, (str(path), what), {'what': what})


def calls(folder):
  return (folder / 'calls').read_text().split()


def test_every_combination_has_a_name_and_its_arguments():
  axes = [
    sweep.axis('noise_multiplier=0.1,1', pathlib.Path),
    sweep.axis('some/one.flags,other.flags', pathlib.Path('/here').joinpath),
  ]
  found = sweep.combinations(axes)
  assert [name for name, _ in found] == [
    *('noise_multiplier=0.1_one', 'noise_multiplier=0.1_other'),
    *('noise_multiplier=1_one', 'noise_multiplier=1_other'),
  ]
  assert found[0][1] == [
    '--noise_multiplier=0.1',
    '--flagfile=/here/some/one.flags',
  ]


def test_a_name_is_a_folder_of_its_own():
  ((name, _),) = sweep.combinations(
    [sweep.axis('train_store=../../stores/a b', pathlib.Path)]
  )
  assert '/' not in name and ' ' not in name


@pytest.mark.parametrize('text', ['', 'a=', 'a=1,1', 'x.flags,', 'a/x,b/x'])
def test_settings_that_are_empty_or_the_same_are_refused(text):
  with pytest.raises(errors.UserError, match='different settings'):
    sweep.axis(text, pathlib.Path)


def test_a_run_of_an_earlier_release_is_not_done_again(tmp_path):
  """Its record lacks the flags that it did not have."""
  path = tmp_path / 'a'
  runs.finish(path, None)
  flags = folders.read_flags(path / 'flags.txt')
  for mechanism, done in ('gaussian', True), ('new', False):
    now = sweep.Trial(path, (), {**flags, 'mechanism': mechanism})
    assert sweep._is_finished(now) == done


def test_combinations_of_one_name_are_refused():
  axes = [
    sweep.axis(text, pathlib.Path)
    for text in ('x.flags,x_y.flags', 'y_z.flags,z.flags')
  ]
  with pytest.raises(errors.UserError, match='have the name x_y_z'):
    sweep.combinations(axes)


def test_the_error_that_is_told_is_that_of_this_call(tmp_path, capsys):
  (tmp_path / 'one.log').write_text('error: long ago\n')
  with pytest.raises(errors.UserError, match='1 of 1'):
    sweep.run([trial(tmp_path, 'one', 'crash')], COMMAND, tmp_path)
  said = capsys.readouterr().out
  assert 'FAILED: ZeroDivisionError' in said and 'long ago' not in said


def test_runs_go_on_after_one_that_fails_and_are_compared(tmp_path, capsys):
  trials = [
    trial(tmp_path, 'one'),
    trial(tmp_path, 'two', 'fail'),
    trial(tmp_path, 'three'),
  ]
  with pytest.raises(errors.UserError, match=r'1 of 3 runs failed.*: two'):
    sweep.run(trials, COMMAND, tmp_path)
  assert calls(tmp_path) == ['one', 'two', 'three']
  said = capsys.readouterr().out
  assert 'FAILED: it was to fail\n' in said and said.count('WER 50.0%') == 2
  page = (tmp_path / sweep.PAGE).read_text()
  assert 'one' in page and 'three' in page


def test_a_second_call_does_what_is_missing(tmp_path, capsys):
  sweep.run([trial(tmp_path, 'one')], COMMAND, tmp_path)
  trials = [trial(tmp_path, 'one'), trial(tmp_path, 'two')]
  assert str(tmp_path / sweep.PAGE) in sweep.run(trials, COMMAND, tmp_path)
  assert calls(tmp_path) == ['one', 'two']
  assert 'was finished before' in capsys.readouterr().out
  # With other flags it is called, and has to say whether it can go on.
  other = trial(tmp_path, 'one', 'do otherwise')
  sweep.run([other], COMMAND, tmp_path)
  assert calls(tmp_path) == ['one', 'two', 'one']


def test_all_runs_in_the_folder_are_accounted_for(tmp_path):
  """Those of an earlier call with another grid have been seen as well."""
  for name in 'old', 'older':
    runs.begin(tmp_path / name, runs.PLAN)
  said = sweep.run([trial(tmp_path, 'new')], COMMAND, tmp_path)
  assert 'old, older trained on clients of the same store' in said
  assert not folders.RunPaths(tmp_path / 'calls').flags.exists()


_SWEEP = """
import pathlib, sys
from tff_asr.commands import sweep
from tff_asr.programs import stopping
folder = pathlib.Path(sys.argv[1])
trials = [
  sweep.Trial(folder / n, (str(folder / n), sys.argv[3]), {}) for n in 'ab'
]
try:
  sweep.run(trials, [sys.executable, '-c', sys.argv[2]], folder)
except stopping.Stopped as stopped:
  print(stopped)
  sys.exit(128 + stopped.signal)
"""


def begun_sweep(folder, what, said):
  """A sweep in a process of its own, whose first run has said something."""
  process = subprocess.Popen(
    [sys.executable, '-c', _SWEEP, str(folder), _COMMAND, what],
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
    },
    stdout=subprocess.PIPE,
    text=True,
  )
  log = folder / 'a.log'
  while not (log.exists() and said in log.read_text()):
    assert process.poll() is None
    time.sleep(0.01)
  return process


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_run_at_work_and_no_other_begins(tmp_path, number):
  with begun_sweep(tmp_path, 'wait', 'waiting') as process:
    process.send_signal(number)
    said = process.communicate()[0]
  assert process.returncode == 128 + number
  assert 'Stopped in run 1 of 2' in said
  assert calls(tmp_path) == ['a']


def is_running(pid):
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]
  except FileNotFoundError:
    return False
  return state.split()[0] not in 'ZX'


def test_a_sweep_that_is_killed_leaves_no_run_behind(tmp_path):
  with begun_sweep(tmp_path, 'parent', 'deep') as process:
    pids = [int(pid) for pid in (tmp_path / 'pids').read_text().split()]
    assert len(pids) == 2 and all(map(is_running, pids))
    process.kill()
  deadline = time.monotonic() + 20  # By themselves they end after a minute.
  while any(map(is_running, pids)) and time.monotonic() < deadline:
    time.sleep(0.01)
  assert not any(map(is_running, pids))
  assert calls(tmp_path) == ['a']


def test_a_file_is_not_a_folder_of_runs(tmp_path):
  file = tmp_path / 'file'
  file.write_text('precious')
  with pytest.raises(errors.UserError, match='is a file'):
    sweep.run([trial(tmp_path, 'a')], COMMAND, file)
  assert file.read_text() == 'precious' and not (tmp_path / 'calls').exists()
