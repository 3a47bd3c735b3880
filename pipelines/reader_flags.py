"""Flags of the corpus readers, from the settings that the readers offer."""

from collections.abc import Callable, Collection, Iterable, Mapping
import pathlib

from absl import flags

from pipelines import flag_kinds
from tff_asr import errors
from tff_asr.corpora.readers import registration

# Flags belong to the calling module.
flags.disclaim_key_flags()


def define(
  settings: Iterable[registration.Setting],
  defined: Mapping[str, flags.FlagHolder],
) -> Callable[[], dict[str, object]]:
  """Defines a flag for each setting of the corpus readers.

  Args:
    settings: The settings.
    defined: Flags that exist already, by name; settings of these names take
      their values from them.

  Returns:
    A function that returns the values of all settings, by name.
  """
  holders = [
    (s, defined[s.name] if s.name in defined else _define(s)) for s in settings
  ]
  return lambda: {
    setting.name: _value(setting, holder.value) for setting, holder in holders
  }


def check(
  reader: str,
  readers: Mapping[str, registration.Reader],
  defined: Collection[str],
) -> None:
  """Checks that every given flag of the readers is a flag of the chosen one.

  Args:
    reader: Name of the chosen reader.
    readers: All readers, by name.
    defined: Names of flags that the command uses for itself, too.

  Raises:
    UserError: If a given flag belongs to other readers only.
  """
  having: dict[str, list[str]] = {}
  for name, entry in readers.items():
    for setting in entry.settings:
      having.setdefault(setting.name, []).append(name)
  for name, others in having.items():
    errors.require(
      reader in others or name in defined or not flags.FLAGS[name].present,
      f'--{name} is a flag of --source={" or ".join(others)}, and has no effect'
      f' with --source={reader}: leave it out, or give another --source.',
    )


def _define(setting: registration.Setting) -> flags.FlagHolder:
  kind = registration.Kind
  name, default, text = setting.name, setting.default, setting.help
  match setting.kind:
    case kind.INTEGER:
      return flags.DEFINE_integer(
        name, default, text, lower_bound=setting.lower_bound
      )
    case kind.NUMBER:
      return flags.DEFINE_float(
        name, default, text, lower_bound=setting.lower_bound
      )
    case kind.SWITCH:
      return flags.DEFINE_bool(name, default, text)
    case kind.NAMES:
      return flags.DEFINE_list(name, list(default), text)
    case kind.PATH:
      return flag_kinds.define_path(name, default, text)
    case kind.PATHS:
      return flag_kinds.define_paths(name, list(default), text)


def _value(setting: registration.Setting, value):
  match setting.kind:
    case registration.Kind.NAMES:
      return tuple(value)
    case registration.Kind.PATH:
      return pathlib.Path(value) if value else None
    case registration.Kind.PATHS:
      return tuple(map(pathlib.Path, value))
  return value
