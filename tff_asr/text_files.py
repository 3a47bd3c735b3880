"""Text and JSON that are read again, whatever has become of them."""

import json
import pathlib
from typing import Any

from tff_asr import checksums, errors


def read(path: pathlib.Path) -> str:
  """Reads a file of UTF-8.

  Raises:
    OSError: If it cannot be read.
    UserError: If it is no UTF-8, or not as it was written.
  """
  try:
    return checksums.read(path).decode('utf-8')
  except UnicodeDecodeError as error:
    raise errors.UserError(
      f'{path} is damaged (no UTF-8): restore it from a copy.'
    ) from error


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Reads a JSON object.

  Raises:
    OSError: If it cannot be read.
    UserError: If it is none, or not as it was written.
  """
  text = read(path)
  try:
    content = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise errors.UserError(
      f'{path} is damaged (no JSON): restore it from a copy.'
    ) from error
  errors.require(
    isinstance(content, dict),
    f'{path} is damaged (no JSON object): restore it from a copy.',
  )
  return content
