"""Reader entries: the data that the prepare command needs of a corpus reader.

A reader's module offers a `Reader`.  `by_name.READERS` lists all of them, and
the command makes its flags from that table.
"""

from collections.abc import Callable, Iterable
import dataclasses
import enum

from tff_asr.corpora.readers import sources


class Kind(enum.Enum):
  """Kinds of values of a reader's setting."""

  INTEGER = 'int'
  NUMBER = 'float'
  SWITCH = 'bool'
  NAMES = 'tuple of str'
  PATH = 'pathlib.Path, or None if the user gave none'
  PATHS = 'tuple of pathlib.Path'


@dataclasses.dataclass(frozen=True)
class Setting:
  """A setting of a reader.

  Attributes:
    name: Name of the setting.
    kind: Kind of the values.
    default: Default value; empty for a path that a user must give.
    help: Noun phrase that explains the setting.
    lower_bound: Smallest value of a number, or `None`.
  """

  name: str
  kind: Kind
  default: object
  help: str
  lower_bound: float | None = None


@dataclasses.dataclass(frozen=True)
class Reader:
  """A corpus reader.

  Attributes:
    help: Noun phrase that explains which corpora the reader reads.
    settings: Settings of the reader.  Readers may share a setting; then kind,
      default and bound must be equal.
    open: Function from the settings, as keyword arguments, to the corpus.
      Raises a `UserError` for settings that cannot be used.
  """

  help: str
  settings: tuple[Setting, ...]
  open: Callable[..., sources.Source]


def merged(readers: Iterable[tuple[str, Reader]]) -> list[Setting]:
  """Returns the settings of several readers, each name once.

  Args:
    readers: Names of readers, and the readers.

  Returns:
    The settings in order of appearance; the help names the readers.

  Raises:
    ValueError: If readers share a setting of different kinds, defaults or
      bounds.
  """
  found: dict[str, Setting] = {}
  for reader_name, reader in readers:
    for setting in reader.settings:
      own = dataclasses.replace(setting, help=f'{reader_name}: {setting.help}')
      first = found.setdefault(setting.name, own)
      if first is own:
        continue
      joined = dataclasses.replace(own, help=f'{first.help} {own.help}')
      if dataclasses.replace(first, help=joined.help) != joined:
        raise ValueError(
          f'The reader {reader_name} has a setting {setting.name} that another'
          ' reader has with another kind, default or bound.'
        )
      found[setting.name] = joined
  return [*found.values()]
