"""What is said to a user who gave something that cannot be used."""

import math
import re


class UserError(ValueError):
  """Bad input: the message says what, where and what to do, in one line.

  Commands print it without a traceback and end with exit code 1.
  """


# Lines around the reason where TensorFlow says where in a graph it failed.
_AROUND = re.compile(
  r'\s*$|\s+\S|Graph execution error|Detected at node|Node: |\[\['
)


def in_a_line(error: BaseException) -> str:
  """Returns the reason of an error, also of one from within a graph."""
  text = str(error)
  ours = re.search(rf'\b{UserError.__name__}: (.*)', text)
  if ours:
    return ours[1]
  lines = (line for line in text.splitlines() if not _AROUND.match(line))
  return next(lines, type(error).__name__)


def require_positive(**values: float) -> None:
  """Raises a `UserError` for a value that is not positive and finite."""
  for name, value in values.items():
    if not 0.0 < value < math.inf:
      raise UserError(f'--{name}={value} must be positive and finite.')


def require(condition: bool, message: str) -> None:
  """Raises a `UserError` with the message unless the condition holds."""
  if not condition:
    raise UserError(message)
