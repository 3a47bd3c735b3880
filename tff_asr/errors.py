"""What is said to a user who gave something that cannot be used."""

import math


class UserError(ValueError):
  """Bad input: the message says what, where and what to do, in one line.

  Commands print it without a traceback and end with exit code 1.
  """


def require_positive(**values: float) -> None:
  """Raises a `UserError` for a value that is not positive and finite."""
  for name, value in values.items():
    if not 0.0 < value < math.inf:
      raise UserError(f'--{name}={value} must be positive and finite.')


def require(condition: bool, message: str) -> None:
  """Raises a `UserError` with the message unless the condition holds."""
  if not condition:
    raise UserError(message)
