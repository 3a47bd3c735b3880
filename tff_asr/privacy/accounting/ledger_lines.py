"""Writes and parses the lines of a privacy ledger: JSON, chained by hashes."""

from collections.abc import Mapping
import hashlib
import json
from typing import Any

_MARK = ', "hash": "'


def line(record: Mapping[str, Any], before: str) -> str:
  """Returns a record as a line.

  Args:
    record: Fields of the line, except for its hash.
    before: Hash of the line before; empty for the first line.
  """
  content = json.dumps(record, sort_keys=True)
  return f'{content[:-1]}{_MARK}{_digest(content, before)}"}}\n'


def parsed(text: str, before: str) -> tuple[dict[str, Any], str]:
  """Parses a line; returns its record and its hash.

  Args:
    text: The line, without its line feed.
    before: Hash of the line before; empty for the first line.

  Raises:
    ValueError: If the line is damaged, or was written after another line.
  """
  start, _, end = text.rpartition(_MARK)
  content = start + '}'
  digest = _digest(content, before)
  if end != f'{digest}"}}':
    raise ValueError('The hash is wrong.')
  return json.loads(content), digest


def _digest(content: str, before: str) -> str:
  return hashlib.sha256((before + content).encode()).hexdigest()
