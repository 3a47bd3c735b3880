"""Checks the form of the code; with `--fix` mends what can be mended.

bazel run //tools:lint
bazel run //tools:lint -- --fix
"""

import os
import subprocess
import sys


def main() -> int:
  """Runs ruff's linter and formatter on the workspace; 0 if all is well."""
  fix = sys.argv[1:] == ['--fix']
  steps = (
    ['check', *(['--fix'] if fix else [])],
    (['format', *([] if fix else ['--check'])]),
  )
  workspace = os.environ.get('BUILD_WORKSPACE_DIRECTORY', os.getcwd())
  codes = [
    subprocess.run([sys.executable, '-m', 'ruff', *step], cwd=workspace)
    for step in steps
  ]
  return max(done.returncode for done in codes)


if __name__ == '__main__':
  sys.exit(main())
