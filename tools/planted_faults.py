"""Plants privacy faults in copies of the tree and runs tests that must fail.

./bazelw run //tools:planted_faults
./bazelw run //tools:planted_faults -- --only=last-round-unrecorded
python3 tools/planted_faults.py --only=23-bit-noise --only=float32-sums

Run this program with the Python of the environment.  `planted_faults.toml`, in
the same folder, has the faults.  Each fault has texts to replace and the tests
of the property.  A text must occur exactly once in its file.  Only these tests
run, and a fault counts as found only if one of their assertions fails.  First,
all these tests must pass in a copy without faults.  The exit code is 1 if a
fault was not found or could not be planted.
"""

import argparse
from collections.abc import Sequence
import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from xml.etree import ElementTree

ROOT = pathlib.Path(
  os.environ.get('BUILD_WORKSPACE_DIRECTORY')
  or pathlib.Path(__file__).resolve().parents[1]
)
TABLE = ROOT / 'tools' / 'planted_faults.toml'
_LONGEST = 1_800  # Time limit in seconds for the tests of one fault.
# A plugin of pytest, which makes hypothesis report a single failure of a test
# instead of a group.
_PLUGIN = """
import hypothesis

hypothesis.settings.register_profile('one', report_multiple_bugs=False)
hypothesis.settings.load_profile('one')
"""
# Beginnings of pytest's messages about failed assertions of a test.
_ASSERTIONS = ('AssertionError', 'assert ', 'Failed: DID NOT RAISE')


class PlantingError(Exception):
  """A fault cannot be planted or tested; the message names the place."""


@dataclasses.dataclass(frozen=True)
class Edit:
  """A text that a fault replaces.

  Attributes:
    file: Path in the tree.
    old: The text, which occurs exactly once in the file.
    new: The replacement.
  """

  file: str
  old: str
  new: str


@dataclasses.dataclass(frozen=True)
class Fault:
  """A fault and the tests that must find it.

  Attributes:
    name: Name for `--only` and the table.
    says: Description for `--help`.
    found_by: Names of tests for pytest, `tests/room/file.py::test`.
    edits: Changes of the code.
  """

  name: str
  says: str
  found_by: tuple[str, ...]
  edits: tuple[Edit, ...]


def read_faults(path: pathlib.Path) -> list[Fault]:
  """Reads the faults of a table.

  Args:
    path: A TOML file, see `planted_faults.toml`.
  """
  table = tomllib.loads(path.read_text())['fault']
  return [
    Fault(
      fault['name'],
      fault['says'],
      tuple(fault['found_by']),
      tuple(Edit(**edit) for edit in fault['edit']),
    )
    for fault in table
  ]


def copy_tree(folder: pathlib.Path) -> None:
  """Copies the current versions of all files that git does not ignore."""
  listed = subprocess.run(
    ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  for name in filter(None, listed.split('\0')):
    if (ROOT / name).is_file():
      (folder / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(ROOT / name, folder / name)


def plant(fault: Fault, folder: pathlib.Path) -> None:
  """Plants a fault in a copy of the tree.

  Raises:
    PlantingError: If a text does not occur exactly once in its file.
  """
  for edit in fault.edits:
    path = folder / edit.file
    text = path.read_text() if path.is_file() else ''
    if (times := text.count(edit.old)) != 1:
      first = edit.old.strip().splitlines()[0]
      raise PlantingError(f'{edit.file} has {first!r} {times} times')
    path.write_text(text.replace(edit.old, edit.new))


def run_tests(tests: Sequence[str], folder: pathlib.Path, first: bool) -> list:
  """Runs tests in a copy; returns the XML elements of failed tests.

  Args:
    tests: Names of tests for pytest.
    folder: The copy.
    first: Whether to stop at the first failed test.

  Raises:
    PlantingError: If pytest gives no result.
  """
  report = folder / 'planted_faults.xml'
  (folder / 'one_failure.py').write_text(_PLUGIN)
  command = [
    *(sys.executable, '-m', 'pytest', '-q'),
    *('-p', 'no:cacheprovider', '-p', 'one_failure'),
    *(['-x'] if first else []),
    f'--junitxml={report}',
    *tests,
  ]
  paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
  with open(folder / 'planted_faults.txt', 'w') as output:
    process = subprocess.Popen(
      command,
      cwd=folder,
      env={**os.environ, 'PYTHONPATH': paths, 'PYTHONDONTWRITEBYTECODE': '1'},
      stdout=output,
      stderr=subprocess.STDOUT,
      start_new_session=True,
    )
  try:
    process.wait(_LONGEST)
  except subprocess.TimeoutExpired:
    raise PlantingError(f'tests took more than {_LONGEST} s') from None
  finally:
    # Kills all processes of pytest that still run.
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)
    process.wait()
  if process.returncode not in (0, 1) or not report.is_file():
    output_end = (folder / 'planted_faults.txt').read_text()[-2_000:]
    raise PlantingError(f'pytest gave no result:\n{output_end}')
  return [
    case
    for case in ElementTree.parse(report).getroot().iter('testcase')
    if case.find('failure') is not None or case.find('error') is not None
  ]


def is_assertion(case: ElementTree.Element) -> bool:
  """Returns whether an assertion of the test failed, not any other code."""
  failure = case.find('failure')
  return failure is not None and failure.get('message', '').startswith(
    _ASSERTIONS
  )


def name_of(case: ElementTree.Element) -> str:
  """Returns a test's name in the table."""
  return f'{case.get("classname", "").split(".")[-1]}::{case.get("name")}'


def look_for(fault: Fault) -> tuple[str, str]:
  """Plants a fault and runs its tests; returns the verdict and the reason."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    copy_tree(folder)
    try:
      plant(fault, folder)
    except PlantingError as error:
      return 'NOT PLANTED', str(error)
    try:
      failed = run_tests(fault.found_by, folder, first=True)
    except PlantingError as error:
      return 'NOT FOUND', str(error)
  for case in failed:
    if is_assertion(case):
      return 'found', name_of(case)
    problem = case.find('failure')
    problem = case.find('error') if problem is None else problem
    return 'NOT FOUND', f'{name_of(case)}: {problem.get("message", "")[:200]}'
  return 'NOT FOUND', 'its tests pass'


def check_without(faults: Sequence[Fault]) -> tuple[str, str]:
  """Runs the tests of all faults in a copy without faults."""
  tests = sorted({test for fault in faults for test in fault.found_by})
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    copy_tree(folder)
    try:
      failed = run_tests(tests, folder, first=False)
    except PlantingError as error:
      return 'FAILED', str(error)
  if failed:
    return 'FAILED', ', '.join(map(name_of, failed))
  return 'passed', f'all {len(tests)} tests'


def main(arguments: Sequence[str]) -> int:
  """Prints the table; returns the exit code."""
  faults = read_faults(TABLE)
  parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0],
    epilog='\n'.join(['Faults:', *(f'  {f.name}: {f.says}' for f in faults)]),
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    '--only', action='append', metavar='NAME', help='a fault; may be repeated'
  )
  only = parser.parse_args(arguments).only
  if unknown := set(only or ()) - {fault.name for fault in faults}:
    parser.error(f'There is no fault {", ".join(sorted(unknown))}: see --help.')
  if only:
    faults = [fault for fault in faults if fault.name in only]
  width = max(len(fault.name) for fault in faults)

  def row(name, check):
    started = time.monotonic()
    verdict, reason = check()
    seconds = time.monotonic() - started
    print(
      f'{name:{width}}  {verdict:11}  {seconds:4.0f} s  {reason}', flush=True
    )
    return verdict in ('found', 'passed')

  good = row('no fault', lambda: check_without(faults))
  for fault in faults:
    good &= row(fault.name, lambda fault=fault: look_for(fault))
  return 0 if good else 1


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
