"""Ends what writes files at any of its points, as SIGKILL would.

Nothing is synced, which takes long and does not matter to a process.
"""

from collections.abc import Callable, Iterator
import os
import pathlib

import pytest


class Killed(BaseException):
  """Stands for a process that is no more: nothing may catch it."""


@pytest.fixture(scope='module', autouse=True)
def without_sync():
  """Lets nothing wait for the disk in a module that imports this."""
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(os, 'fsync', lambda _: None)
    yield


def at_every_point(body: Callable[[], None]) -> Iterator[int]:
  """Calls `body` again and again, ended one point later each time.

  Points are before each sync, rename and removal, and in the middle of each
  file that is written at once.

  Args:
    body: Writes files.

  Yields:
    The number of the point, after the call that was ended there.
  """
  fatal = 0
  while True:
    fatal += 1
    with pytest.MonkeyPatch.context() as patched:
      _install(patched, fatal)
      try:
        body()
      except Killed:
        pass
      else:
        return
    yield fatal


def _install(patched: pytest.MonkeyPatch, fatal: int) -> None:
  passed = 0

  def pass_one():
    nonlocal passed
    passed += 1
    if passed == fatal:
      raise Killed

  def before(function):
    def wrapped(*args, **kwargs):
      pass_one()
      return function(*args, **kwargs)

    return wrapped

  def in_two_parts(function):
    def wrapped(path, contents, *args, **kwargs):
      function(path, contents[: len(contents) // 2], *args, **kwargs)
      pass_one()
      return function(path, contents, *args, **kwargs)

    return wrapped

  patched.setattr(os, 'fsync', lambda _: pass_one())
  for name in 'replace', 'rename', 'unlink':
    patched.setattr(pathlib.Path, name, before(getattr(pathlib.Path, name)))
  for name in 'write_text', 'write_bytes':
    function = getattr(pathlib.Path, name)
    patched.setattr(pathlib.Path, name, in_two_parts(function))
