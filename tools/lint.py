"""Checks the format of code and the prose; `--fix` corrects the code's format.

bazel run //tools:lint
bazel run //tools:lint -- --fix
"""

import os
import subprocess
import sys


def main() -> int:
  """Runs ruff and the count of hard phrases; returns 0 if all checks pass."""
  fix = sys.argv[1:] == ['--fix']
  steps = (
    ['-m', 'ruff', 'check', *(['--fix'] if fix else [])],
    ['-m', 'ruff', 'format', *([] if fix else ['--check'])],
    ['tools/plain_english.py'],
  )
  workspace = os.environ.get('BUILD_WORKSPACE_DIRECTORY', os.getcwd())
  codes = [
    subprocess.run([sys.executable, *step], cwd=workspace) for step in steps
  ]
  return max(done.returncode for done in codes)


if __name__ == '__main__':
  sys.exit(main())
