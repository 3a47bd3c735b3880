"""Prints `N passed, N failed` from the reports of `bazel test`.

python3 tools/count_tests.py bazel-testlogs
"""

import pathlib
import sys
from xml.etree import ElementTree


def count(folder: pathlib.Path) -> tuple[int, int, int]:
  """Returns the numbers of passed, failed and skipped tests.

  Args:
    folder: Folder with reports of `bazel test`.
  """
  passed = failed = skipped = 0
  for report in folder.rglob('test.xml'):
    for suite in ElementTree.parse(report).getroot().iter('testsuite'):
      numbers = {
        name: int(suite.get(name, 0))
        for name in ('tests', 'failures', 'errors', 'skipped')
      }
      bad = numbers['failures'] + numbers['errors']
      failed += bad
      skipped += numbers['skipped']
      passed += numbers['tests'] - bad - numbers['skipped']
  return passed, failed, skipped


if __name__ == '__main__':
  passed, failed, skipped = count(pathlib.Path(sys.argv[1]))
  note = f', {skipped} skipped' if skipped else ''
  print(f'{passed} passed, {failed} failed{note}')
