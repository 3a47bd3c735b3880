"""Types of flags that several commands have: paths, lists of numbers."""

from collections.abc import Collection, Sequence
import re

from absl import flags

from pipelines import command_line
from tff_asr import errors

# Flags are those of the module that calls.
flags.disclaim_key_flags()

_PIECES = 'spm:'


class _PathParser(flags.ArgumentParser):
  """Makes a path absolute; it starts where the command was called."""

  syntactic_help = 'a path'

  def parse(self, argument: str) -> str:
    return str(command_line.path(argument)) if argument else ''


class _PathsParser(flags.ListParser):
  """Makes each path of a list absolute; commas separate the paths."""

  def parse(self, argument: str | list[str]) -> list[str]:
    return [str(command_line.path(p)) for p in super().parse(argument)]


class _VocabularyParser(_PathParser):
  """Makes the path after `spm:` absolute."""

  syntactic_help = f'a name, or {_PIECES} and a path'

  def parse(self, argument: str) -> str:
    if not argument.startswith(_PIECES):
      return argument
    return _PIECES + super().parse(argument.removeprefix(_PIECES))


class _PositiveParser(flags.FloatParser):
  """Reads a number above zero."""

  def __init__(self, upper_bound: float | None = None):
    super().__init__(upper_bound=upper_bound)
    limit = '' if upper_bound is None else f', at most {upper_bound:g}'
    self.syntactic_help = f'a positive number{limit}'

  def is_outside_bounds(self, value: float) -> bool:
    return value <= 0.0 or super().is_outside_bounds(value)


class _NamesParser(flags.ListParser):
  """Reads a list of names, each one of a few."""

  def __init__(self, names: Collection[str]):
    super().__init__()
    self._names = names

  def parse(self, argument: str | list[str]) -> list[str]:
    found = super().parse(argument)
    if not set(found) <= set(self._names):
      raise ValueError(
        f'must be some of {", ".join(self._names)}, with commas between them'
      )
    return found


class _NumbersParser(flags.ListParser):
  """Reads a list of numbers with commas between them.

  A comma inside a number, between thousands or before decimals, would silently
  make two numbers.  A text that can be read both ways is refused; with a space
  after the comma it is a list.
  """

  def __init__(self, kind: type):
    super().__init__()
    self._kind = kind

  def parse(self, argument: str | list) -> list:
    if isinstance(argument, list):
      return argument
    parts = super().parse(argument)
    joined = argument.replace(',', '')
    if re.fullmatch(r'[+-]?\d{1,3}(,\d{3})+(\.\d*)?', argument) or any(
      re.match(r'[+-]?0[0-9]', part) for part in parts
    ):
      raise ValueError(
        f'may be one number or several: write {joined} for one,'
        f" '{', '.join(parts)}' for several"
      )
    whole = r'[+-]?\d+' if self._kind is float else '0'
    if re.fullmatch(rf'{whole},\d+', argument):
      decimal = argument.replace(',', '.')
      raise ValueError(
        f'may be one number or two: write {decimal} for one,'
        f" '{', '.join(parts)}' for two"
      )
    try:
      numbers = [self._kind(part) for part in parts]
    except ValueError as error:
      form = 'whole ones' if self._kind is int else 'such as 0.5,1'
      raise ValueError(
        f'must be numbers with commas between them ({form})'
      ) from error
    if not numbers:
      raise ValueError('is empty')
    return numbers


class _NumbersSerializer(flags.ArgumentSerializer):
  """Writes a list in a form that `_NumbersParser` reads as a list."""

  def serialize(self, value: Sequence[float]) -> str:
    return ', '.join(map(repr, value))


def define_path(
  name: str, default: str | None, help: str, required: bool = False
) -> flags.FlagHolder[str | None]:
  """Defines a flag whose value is an absolute path, or empty.

  Args:
    name: Name of the flag.
    default: May be relative; `None` for none.
    help: Purpose of the flag, for `--help`.
    required: Whether it must be given.
  """
  return flags.DEFINE(
    _PathParser(),
    name,
    default,
    help,
    serializer=flags.ArgumentSerializer(),
    required=required,
  )


def define_paths(
  name: str, default: list[str] | None, help: str, required: bool = False
) -> flags.FlagHolder[list[str] | None]:
  """Defines a flag for a list of paths with commas between them."""
  return flags.DEFINE(
    _PathsParser(),
    name,
    default,
    help,
    serializer=flags.CsvListSerializer(','),
    required=required,
  )


def define_names(
  name: str, default: list[str], names: Collection[str], help: str
) -> flags.FlagHolder[list[str]]:
  """Defines a flag for a list of some of `names`."""
  return flags.DEFINE(
    _NamesParser(names),
    name,
    default,
    help,
    serializer=flags.CsvListSerializer(','),
  )


def define_vocabulary(
  name: str, default: str, help: str
) -> flags.FlagHolder[str]:
  """Defines a flag for the name of a vocabulary, or `spm:` and a path."""
  return flags.DEFINE(
    _VocabularyParser(),
    name,
    default,
    help,
    serializer=flags.ArgumentSerializer(),
  )


def define_positive(
  name: str, default: float, help: str, upper_bound: float | None = None
) -> flags.FlagHolder[float]:
  """Defines a flag for a number above zero.

  Args:
    name: Name of the flag.
    default: The default.
    help: Purpose of the flag, for `--help`.
    upper_bound: Greatest allowed number.
  """
  return flags.DEFINE(
    _PositiveParser(upper_bound),
    name,
    default,
    help,
    serializer=flags.ArgumentSerializer(),
  )


def define_numbers(
  name: str, default: Sequence[float], help: str, kind: type
) -> flags.FlagHolder[list]:
  """Defines a flag for a list of numbers, `int` or `float`."""
  return flags.DEFINE(
    _NumbersParser(kind),
    name,
    list(default),
    help,
    serializer=_NumbersSerializer(),
  )


def require_default(holder: flags.FlagHolder, remedy: str) -> None:
  """Checks that a flag without effect has its default value.

  The recorded flags of a run have all values, so the default must be allowed.

  Args:
    holder: A flag that has no effect together with other flags.
    remedy: The remedy, without a full stop.

  Raises:
    UserError: If the flag has another value.
  """
  errors.require(
    holder.value == holder.default,
    f'--{holder.name}={holder.value} has no effect: {remedy}.',
  )
