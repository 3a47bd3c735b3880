"""Reading of text and JSON files, with clear errors if they are damaged."""

import json
import pathlib
from typing import Any

from tff_asr import checksums, errors


def read(path: pathlib.Path) -> str:
  """Reads a file in UTF-8 and checks its check sum.

  Raises:
    OSError: If the file cannot be read.
    UserError: If the file is not in UTF-8, or was changed or removed after it
      was written.
  """
  try:
    return checksums.read(path).decode('utf-8')
  except UnicodeDecodeError as error:
    raise errors.UserError(
      f'{path} is damaged (not UTF-8): restore it from a copy.'
    ) from error


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Reads a JSON object from a file and checks the file's check sum.

  Raises:
    OSError: If the file cannot be read.
    UserError: If the file is not a JSON object, or was changed or removed after
      it was written.
  """
  text = read(path)
  try:
    content = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise errors.UserError(
      f'{path} is damaged (not JSON): restore it from a copy.'
    ) from error
  errors.require(
    isinstance(content, dict),
    f'{path} is damaged (not a JSON object): restore it from a copy.',
  )
  return content
