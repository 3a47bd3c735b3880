"""Flags of the seed model and of its central training."""

from collections.abc import Mapping
from typing import Any

from absl import flags

from pipelines import flag_kinds
from tff_asr import errors
from tff_asr.learning import central
from tff_asr.optimizers import schedules
from tff_asr.runs import participants

_DEFAULT_SEED_CLIENTS = 16
_DEFAULT_SEED_EPOCHS = 50

_SEED_MODEL = flag_kinds.define_path(
  'seed_model',
  '',
  'Folder of the model, or of a run with the model, from which the federated'
  ' rounds start. Its sizes replace --model. Clients whose data trained that'
  ' model without privacy take part in no round.',
)
_SEED_CLIENTS = flags.DEFINE_integer(
  'seed_clients',
  None,
  'Number of speakers set apart for central training of a seed model; 0 for'
  f' none, {participants.ALL} for all. These speakers have no privacy'
  f' guarantee. By default {_DEFAULT_SEED_CLIENTS}, or 0 with --seed_model.'
  ' With both flags, these speakers train that model further.',
  lower_bound=participants.ALL,
)
_SEED_EPOCHS = flags.DEFINE_integer(
  'seed_epochs',
  0,
  'Number of passes over the seed speakers in central training. 0 means'
  f' {_DEFAULT_SEED_EPOCHS}, or --seed_steps if that is given.',
  lower_bound=0,
)
_SEED_STEPS = flags.DEFINE_integer(
  'seed_steps',
  0,
  'Number of batches in central training, instead of --seed_epochs; 0 to count'
  ' passes.',
  lower_bound=0,
)
_SEED_BATCH_SECONDS = flags.DEFINE_float(
  'seed_batch_seconds',
  16.0,
  'Seconds of audio in a batch of central training, padding included.',
)
_SEED_TEMPO = flags.DEFINE_float(
  'seed_tempo',
  0.1,
  'Largest change of tempo in central training, as a fraction: each seed'
  ' utterance gets a random tempo within this range. 0 for no change.',
  lower_bound=0.0,
  upper_bound=0.9,
)
_SEED_OPTIMIZER = flags.DEFINE_enum(
  'seed_optimizer',
  central.ADAM,
  central.OPTIMIZERS,
  'Optimizer of central training.',
)
_SEED_LEARNING_RATE = flag_kinds.define_positive(
  'seed_learning_rate', 3e-3, 'Peak learning rate of central training.'
)
_SEED_WARMUP_STEPS = flags.DEFINE_integer(
  'seed_warmup_steps',
  300,
  'Number of steps in which the learning rate of central training rises from'
  ' zero; 0 for no warm-up.',
  lower_bound=0,
)
_SEED_SCHEDULE = flags.DEFINE_enum(
  'seed_schedule',
  schedules.COSINE,
  schedules.NAMES,
  'Schedule of the learning rate in central training: no decay (constant), a'
  ' cosine that reaches zero at the end (cosine), a drop at --seed_decay_start'
  ' and again every --seed_decay_steps (step), or a smooth decay from that'
  ' start at the same average rate (exponential).',
)
_SEED_DECAY_START = flags.DEFINE_integer(
  'seed_decay_start',
  None,
  'Step at which the learning rate of central training starts to decay'
  ' (--seed_schedule=step or exponential).',
  lower_bound=0,
)
_SEED_DECAY_STEPS = flags.DEFINE_integer(
  'seed_decay_steps',
  None,
  'Number of steps in which the learning rate of central training decays once'
  ' by --seed_decay_rate (--seed_schedule=step or exponential).',
  lower_bound=1,
)
_SEED_DECAY_RATE = flags.DEFINE_float(
  'seed_decay_rate',
  0.5,
  'Factor on the learning rate of central training for every --seed_decay_steps'
  ' (--seed_schedule=step or exponential).',
  upper_bound=1.0,
)


def resolved() -> dict[str, int]:
  """Returns the values of flags whose default depends on other flags."""
  clients, epochs = _SEED_CLIENTS.value, _SEED_EPOCHS.value
  if clients is None:
    clients = 0 if _SEED_MODEL.value else _DEFAULT_SEED_CLIENTS
  if not (epochs or _SEED_STEPS.value):
    epochs = _DEFAULT_SEED_EPOCHS
  return {'seed_clients': clients, 'seed_epochs': epochs}


def config(values: Mapping[str, Any]) -> central.CentralConfig:
  """Returns the settings of central training.

  Args:
    values: The result of `resolved`.

  Raises:
    UserError: If the flags contradict each other.
  """
  return central.CentralConfig(
    epochs=values['seed_epochs'] or None,
    steps=_SEED_STEPS.value or None,
    batch_seconds=_SEED_BATCH_SECONDS.value,
    optimizer=_SEED_OPTIMIZER.value,
    learning_rate=_SEED_LEARNING_RATE.value,
    schedule=_schedule(),
    max_tempo_change=_SEED_TEMPO.value,
  )


def _schedule() -> schedules.Schedule:
  name = _SEED_SCHEDULE.value
  start, steps = _SEED_DECAY_START.value, _SEED_DECAY_STEPS.value
  if name not in schedules.DECAYING:
    errors.require(
      start is None and steps is None,
      f'--seed_decay_start and --seed_decay_steps with --seed_schedule={name}:'
      ' leave them out, or give --seed_schedule=step or exponential.',
    )
    flag_kinds.require_default(
      _SEED_DECAY_RATE, 'give --seed_schedule=step or exponential as well'
    )
    return schedules.Schedule(name, _SEED_WARMUP_STEPS.value)
  errors.require(
    start is not None and steps is not None,
    f'--seed_schedule={name} without its times: give --seed_decay_start and'
    ' --seed_decay_steps.',
  )
  return schedules.Schedule(
    name, _SEED_WARMUP_STEPS.value, start, steps, _SEED_DECAY_RATE.value
  )
