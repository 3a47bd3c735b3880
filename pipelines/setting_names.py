"""Names of settings in messages, translated into flags.

The library knows its settings by the names of their fields, and writes them in
backticks, see `tff_asr.errors`.  A user of a command knows flags.
"""

from collections.abc import Collection
import re
import sys

from absl import flags

# Fields whose name differs from the flag's.  A field that several classes have
# stands with its class.
FLAGS = {
  'BatchConfig.epochs': 'client_epochs',
  'BatchConfig.max_seconds': 'client_max_seconds',
  'BatchConfig.seconds': 'client_batch_seconds',
  'BatchConfig.steps': 'client_steps',
  'CentralConfig.batch_seconds': 'seed_batch_seconds',
  'CentralConfig.epochs': 'seed_epochs',
  'CentralConfig.learning_rate': 'seed_learning_rate',
  'CentralConfig.steps': 'seed_steps',
  'Holdout.clients': 'holdout_clients',
  'PersonalisationConfig.batch_seconds': 'personalise_batch_seconds',
  'PersonalisationConfig.epochs': 'personalise_epochs',
  'PersonalisationConfig.learning_rate': 'personalise_learning_rate',
  'adaptation_rate': 'clip_adaptation_rate',
  'count_stddev': 'clip_count_stddev',
  'given_bounds': 'layer_bounds_file',
  'hours': 'available_hours',
  'mode': 'clipping_mode',
  'quantile': 'clip_quantile',
  'unprotected_metrics': 'release_unprotected_metrics',
}

SETTING = re.compile(r'`((?:[A-Z]\w*\.)?[a-z_][a-z0-9_]*)(=[^`]*)?`')


def flag_of(setting: str) -> str:
  """Returns the name of the flag of a setting, whether there is one or not.

  Args:
    setting: A field, alone or as `Class.field`.
  """
  field = setting.rpartition('.')[2]
  return FLAGS.get(setting, FLAGS.get(field, field))


def translated(text: str, names: Collection[str] | None = None) -> str:
  """Returns a message in which settings are flags of a command.

  `` `quantile=2` `` becomes `--clip_quantile=2`.  Words in backticks that
  name no flag of the command do not change.

  Args:
    text: The message.
    names: Names of the command's flags; by default of the running command.
  """
  if names is None:
    found = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    names = {flag.name for flag in found}

  def flag(setting: re.Match[str]) -> str:
    name = flag_of(setting[1])
    return f'--{name}{setting[2] or ""}' if name in names else setting[0]

  return SETTING.sub(flag, text)
