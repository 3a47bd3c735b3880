"""Runs the test files given as arguments and reports to Bazel."""

import os
import sys

import pytest

if __name__ == '__main__':
  arguments = ['-p', 'no:cacheprovider', '-q', *sys.argv[1:]]
  if report := os.environ.get('XML_OUTPUT_FILE'):
    arguments.append(f'--junitxml={report}')
  sys.exit(pytest.main(arguments))
