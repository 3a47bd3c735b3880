"""Flags of the model that the rounds begin with, and of its training."""

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
  'Folder of the model (or run) that the rounds begin with; its sizes take the'
  ' place of --model. Clients on whom it was trained without privacy are in no'
  ' round.',
)
_SEED_CLIENTS = flags.DEFINE_integer(
  'seed_clients',
  None,
  'Number of speakers set apart to train a seed model centrally; 0 for none,'
  f' {participants.ALL} for all. Nothing is promised to these speakers. By'
  f' default {_DEFAULT_SEED_CLIENTS}, or 0 with --seed_model: if both are'
  ' given, that model is trained further.',
  lower_bound=participants.ALL,
)
_SEED_EPOCHS = flags.DEFINE_integer(
  'seed_epochs',
  0,
  f'Passes over the seed speakers; {_DEFAULT_SEED_EPOCHS} if neither this nor'
  ' --seed_steps is given, 0 with --seed_steps.',
  lower_bound=0,
)
_SEED_STEPS = flags.DEFINE_integer(
  'seed_steps',
  0,
  'Instead of passes, batches that the seed is trained on; 0 with'
  ' --seed_epochs.',
  lower_bound=0,
)
_SEED_BATCH_SECONDS = flags.DEFINE_float(
  'seed_batch_seconds',
  16.0,
  'Seconds of audio in a batch of the seed, padding included.',
)
_SEED_TEMPO = flags.DEFINE_float(
  'seed_tempo',
  0.1,
  'Seed utterances are spoken faster or slower by up to this, as a fraction;'
  ' 0 for not.',
  lower_bound=0.0,
  upper_bound=0.9,
)
_SEED_OPTIMIZER = flags.DEFINE_enum(
  'seed_optimizer', central.ADAM, central.OPTIMIZERS, 'Optimizer of the seed.'
)
_SEED_LEARNING_RATE = flags.DEFINE_float(
  'seed_learning_rate',
  3e-3,
  'Greatest step of the optimizer for the seed.',
  lower_bound=0,
)
_SEED_WARMUP_STEPS = flags.DEFINE_integer(
  'seed_warmup_steps',
  300,
  'Steps in which it rises from zero; 0 for none.',
  lower_bound=0,
)
_SEED_SCHEDULE = flags.DEFINE_enum(
  'seed_schedule',
  schedules.COSINE,
  schedules.NAMES,
  'How it falls: by a cosine to zero at the end, not at all, by a jump at'
  ' --seed_decay_start and every --seed_decay_steps from there, or from that'
  ' start on steadily, as fast.',
)
_SEED_DECAY_START = flags.DEFINE_integer(
  'seed_decay_start',
  None,
  'Step at which the decay starts (step, exponential).',
  lower_bound=0,
)
_SEED_DECAY_STEPS = flags.DEFINE_integer(
  'seed_decay_steps',
  None,
  'Steps in which it falls by --seed_decay_rate (step, exponential).',
  lower_bound=1,
)
_SEED_DECAY_RATE = flags.DEFINE_float(
  'seed_decay_rate',
  0.5,
  'Factor by which it falls (step, exponential).',
  upper_bound=1.0,
)


def set_defaults() -> None:
  """Gives a value to flags whose default depends on others."""
  if _SEED_CLIENTS.value is None:
    flags.FLAGS.seed_clients = 0 if _SEED_MODEL.value else _DEFAULT_SEED_CLIENTS
  if not (_SEED_EPOCHS.value or _SEED_STEPS.value):
    flags.FLAGS.seed_epochs = _DEFAULT_SEED_EPOCHS


def config() -> central.CentralConfig:
  """Returns how the seed model is trained.

  Raises:
    UserError: If the flags contradict each other.
  """
  return central.CentralConfig(
    epochs=_SEED_EPOCHS.value or None,
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
    return schedules.Schedule(name, _SEED_WARMUP_STEPS.value)
  errors.require(
    start is not None and steps is not None,
    f'--seed_schedule={name} without its times: give --seed_decay_start and'
    ' --seed_decay_steps.',
  )
  return schedules.Schedule(
    name, _SEED_WARMUP_STEPS.value, start, steps, _SEED_DECAY_RATE.value
  )
