"""Child processes that do not outlive their parent."""

from collections.abc import Sequence
from concurrent import futures
import os
import subprocess
import sys
import threading
from typing import Any

# Replaces itself by a program that Linux kills when the parent dies.  1 is
# PR_SET_PDEATHSIG, 9 is SIGKILL.  The parent may die before `prctl`, so the
# launcher checks the parent afterwards.
_LAUNCHER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]): os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def bound(command: Sequence[str]) -> list[str]:
  """Returns a command that Linux kills when this process dies in any way.

  For Linux the parent is the thread that starts the command, not the process.
  This thread must therefore live as long as the command.

  Args:
    command: A program and its arguments.
  """
  launcher = [sys.executable, '-I', '-S', '-c', _LAUNCHER, str(os.getpid())]
  return [*launcher, *command]


def start(command: Sequence[str], **kwargs: Any) -> subprocess.Popen:
  """Starts a bound command from a thread that lives as long as the command.

  Args:
    command: A program and its arguments.
    **kwargs: Arguments of `subprocess.Popen`.

  Raises:
    OSError: If the command cannot be started.
  """
  started = futures.Future()

  def run():
    try:
      process = subprocess.Popen(bound(command), **kwargs)
    except OSError as error:
      started.set_exception(error)
    else:
      started.set_result(process)
      process.wait()

  threading.Thread(target=run, daemon=True).start()
  return started.result()
