"""Flags of the model that the rounds begin with, and of its training."""

from absl import flags

from tff_asr.learning import central

_SEED_MODEL = flags.DEFINE_string(
  'seed_model',
  '',
  'Folder of the model (or run) that the rounds begin with; its sizes take the'
  ' place of --model. Clients on whom it was trained without privacy are in no'
  ' round.',
)
_SEED_CLIENTS = flags.DEFINE_integer(
  'seed_clients',
  16,
  'Number of speakers set apart to train a seed model centrally; 0 for none.'
  ' Nothing is promised to these speakers.',
  lower_bound=0,
)
_SEED_EPOCHS = flags.DEFINE_integer(
  'seed_epochs', 50, 'Passes over the seed speakers.', lower_bound=1
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
_SEED_LEARNING_RATE = flags.DEFINE_float(
  'seed_learning_rate', 3e-3, 'Peak step of Adam for the seed.', lower_bound=0
)


def config() -> central.CentralConfig:
  """Returns how the seed model is trained."""
  return central.CentralConfig(
    epochs=_SEED_EPOCHS.value,
    batch_seconds=_SEED_BATCH_SECONDS.value,
    learning_rate=_SEED_LEARNING_RATE.value,
    max_tempo_change=_SEED_TEMPO.value,
  )
