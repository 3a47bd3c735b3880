"""Calls of commands as a user makes them, each in a process of its own."""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]

# Forks of a process that has imported what all commands import, which takes
# longer than most of what they do here.
PROCESSES = multiprocessing.get_context('forkserver')
PROCESSES.set_forkserver_preload(['tff_asr.commands.train'])


def environment(cwd):
  return {
    **os.environ,
    'PYTHONPATH': os.pathsep.join(sys.path),
    'BUILD_WORKING_DIRECTORY': str(cwd),
    'XDG_CACHE_HOME': str(cwd / 'cache'),
  }


def start(command, *arguments, cwd):
  """Starts a command from nothing, as a process whose output can be read."""
  return subprocess.Popen(
    [sys.executable, '-m', f'pipelines.{command}', *arguments],
    cwd=ROOT,
    env=environment(cwd),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def call(command, *arguments, cwd):
  """Runs a command; returns its exit code, output and errors."""
  with tempfile.TemporaryDirectory() as folder:
    files = [pathlib.Path(folder) / name for name in ('out', 'err')]
    process = PROCESSES.Process(
      target=run_module,
      args=(f'pipelines.{command}', arguments, environment(cwd), files),
    )
    process.start()
    process.join()
    return process.exitcode, *(file.read_text() for file in files)


def run_module(module, arguments, variables, files):
  os.environ.update(variables)
  os.chdir(ROOT)
  for descriptor, file in enumerate(files, start=1):
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
  sys.argv = [module, *arguments]
  runpy.run_module(module, run_name='__main__', alter_sys=True)
