"""Errors about the user's input, and one-line messages of errors.

A message names a setting in backticks, by its field: `` `cohort_size` ``, and
with a value `` `cohort_size=5` ``.  Where fields of several classes have one
name, the class comes first: `` `CentralConfig.epochs` ``.  The commands show
such a setting as a flag, see `pipelines/setting_names.py`: the library knows no
flags.  Commands have plain names ("run the train command again").  Other words
of this form have no backticks.
"""

import math
import re


class UserError(ValueError):
  """An error about the user's input.

  The message has one line: the fault, its place and the remedy.  It names a
  setting by its field in backticks, with a value as `field=value` inside the
  backticks.  Commands print the message without a traceback and end with exit
  code 1.
  """


# Lines in TensorFlow's messages that locate the failure in a graph.  The reason
# is in another line.
_AROUND = re.compile(
  r'\s*$|\s+\S|Graph execution error|Detected at node|Node: |\[\['
)


def in_a_line(error: BaseException) -> str:
  """Returns the reason of an error in one line, also for errors of graphs."""
  text = str(error)
  ours = re.search(rf'\b{UserError.__name__}: (.*)', text)
  if ours:
    return ours[1]
  lines = (line for line in text.splitlines() if not _AROUND.match(line))
  return next(lines, type(error).__name__)


def require_positive(of: str = '', /, **values: float) -> None:
  """Raises a `UserError` for a value that is not positive and finite.

  Args:
    of: Name of a class whose fields have the names of other classes' fields.
    **values: The values, by field.
  """
  for name, value in values.items():
    if not 0.0 < value < math.inf:
      setting = f'{of}.{name}' if of else name
      raise UserError(f'`{setting}={value}` must be positive and finite.')


def require(condition: bool, message: str) -> None:
  """Raises a `UserError` with the message unless the condition holds."""
  if not condition:
    raise UserError(message)
