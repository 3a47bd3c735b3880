"""Trains a speech model by differentially private federated learning.

With no flags: 64 synthetic speakers, a small seed model from other speakers,
federated rounds with per-layer clipping and noise, and a table of the result.

  bazel run //pipelines:train
  bazel run //pipelines:train -- --flagfile=configs/an4_federated.flags \
      --train_store=STORE --eval_store=STORE --output_dir=RUN
"""

import datetime

from absl import flags

from pipelines import command_line
from tff_asr.corpora import client_datasets
from tff_asr.corpora.synthetic import corpus as synthetic
from tff_asr.learning import central, federated
from tff_asr.models import precision, presets
from tff_asr.privacy import bounds
from tff_asr.programs import prepare, train

_TRAIN_STORE = flags.DEFINE_string(
  'train_store',
  '',
  'Client store to train on; by default synthetic speakers, 64 of them and the'
  ' seed speakers.',
)
_EVAL_STORE = flags.DEFINE_string(
  'eval_store',
  '',
  'Client store of held-out speakers; by default synthetic ones.',
)
_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir',
  '',
  'Folder of the run; called again with it, the run goes on. By default a new'
  ' one below `runs`.',
)
_MODEL = flags.DEFINE_enum(
  'model', 'tiny', sorted(presets.PRESETS), 'Preset of the encoder.'
)
_PRECISION = flags.DEFINE_enum(
  'precision',
  precision.FLOAT32,
  precision.NAMES,
  'What training computes in; weights, loss and updates stay float32.',
)
_SEED_MODEL = flags.DEFINE_string(
  'seed_model',
  '',
  'Folder of the model (or run) that the rounds begin with; its sizes take the'
  ' place of --model.',
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
_ROUNDS = flags.DEFINE_integer(
  'rounds', 40, 'Federated rounds in all.', lower_bound=0
)
_COHORT_SIZE = flags.DEFINE_integer(
  'cohort_size',
  16,
  'Clients in a round: the expected number (poisson), which is the denominator'
  ' of the mean under clipping, or the exact one (fixed).',
  lower_bound=1,
)
_SAMPLING = flags.DEFINE_enum(
  'sampling', 'poisson', ['poisson', 'fixed'], 'How cohorts are drawn.'
)
_CLIENT_BATCH_SECONDS = flags.DEFINE_float(
  'client_batch_seconds',
  16.0,
  'Seconds of audio in a batch of a client, padding included.',
)
_CLIENT_EPOCHS = flags.DEFINE_integer(
  'client_epochs',
  0,
  'Passes of a client over their own data; 2 if neither this nor --client_steps'
  ' is given, 0 with --client_steps.',
  lower_bound=0,
)
_CLIENT_STEPS = flags.DEFINE_integer(
  'client_steps',
  0,
  'Instead of passes, batches that a client trains on, whose data is repeated'
  ' as needed; 0 with --client_epochs.',
  lower_bound=0,
)
_CLIENT_MAX_SECONDS = flags.DEFINE_float(
  'client_max_seconds',
  3_600.0,
  'Of a client with more seconds of audio, utterances of about that much are'
  ' drawn anew each round; 0 for all. It takes 32 kB of memory a second.',
  lower_bound=0.0,
)
_CLIENT_LEARNING_RATE = flags.DEFINE_float(
  'client_learning_rate', 0.3, 'Step of SGD on a client.', lower_bound=0
)
_CLIENT_GRADIENT_CLIP = flags.DEFINE_float(
  'client_gradient_clip', 1.0, 'Greatest L2 norm of a local gradient.'
)
_SERVER_OPTIMIZER = flags.DEFINE_enum(
  'server_optimizer',
  'lamb',
  sorted(federated.SERVER_OPTIMIZERS),
  'Optimizer of the server.',
)
_SERVER_LEARNING_RATE = flags.DEFINE_float(
  'server_learning_rate', 0.02, 'Step of the server.', lower_bound=0
)
_CLIPPING = flags.DEFINE_enum(
  'clipping',
  'per_layer',
  ['none', 'global', 'per_layer'],
  'What of a client update is clipped.',
)
_LAYER_BOUNDS = flags.DEFINE_enum(
  'layer_bounds',
  'uniform',
  sorted(bounds.LAYER_BOUNDS),
  'Bounds of the layers (per_layer): all equal, or by the root of the size.',
)
_CLIP_NORM = flags.DEFINE_float(
  'clip_norm', 0.1, 'Most that a client contributes, in L2 norm over all.'
)
_NOISE_MULTIPLIER = flags.DEFINE_float(
  'noise_multiplier',
  0.01,
  'Noise on the sum of updates over clip_norm; 0 for no privacy.',
  lower_bound=0,
)
_DELTA = flags.DEFINE_float(
  'delta', 1e-9, 'Delta at which epsilon is given, between 0 and 1.'
)
_EVALUATE_EVERY = flags.DEFINE_integer(
  'evaluate_every', 10, 'Rounds between evaluations.', lower_bound=1
)
_SEED = flags.DEFINE_integer(
  'seed',
  0,
  'Of initial weights, seed speakers and synthetic corpora; never of noise or'
  ' cohorts.',
  lower_bound=0,
  upper_bound=2**31 - 1,
)

_DEFAULT_CLIENTS = 64
_DEFAULT_EVAL_CLIENTS = 12
_DEFAULT_CLIENT_EPOCHS = 2
_PATHS = ('train_store', 'eval_store', 'output_dir', 'seed_model')


def main() -> str:
  """Runs or goes on with the run and returns its result."""
  if not _TRAIN_STORE.value:
    clients = _DEFAULT_CLIENTS + _SEED_CLIENTS.value
    flags.FLAGS.train_store = _synthetic_store(clients, held_out_voices=False)
  if not _EVAL_STORE.value:
    flags.FLAGS.eval_store = _synthetic_store(
      _DEFAULT_EVAL_CLIENTS, held_out_voices=True
    )
  if not _OUTPUT_DIR.value:
    now = datetime.datetime.now()
    flags.FLAGS.output_dir = f'runs/{now:%Y%m%d-%H%M%S}'
  if not (_CLIENT_EPOCHS.value or _CLIENT_STEPS.value):
    flags.FLAGS.client_epochs = _DEFAULT_CLIENT_EPOCHS
  seed_model = _SEED_MODEL.value
  config = train.TrainConfig(
    train_store=command_line.path(_TRAIN_STORE.value),
    eval_store=command_line.path(_EVAL_STORE.value),
    output_dir=command_line.path(_OUTPUT_DIR.value),
    model=_MODEL.value,
    precision=_PRECISION.value,
    seed_model=command_line.path(seed_model) if seed_model else None,
    seed_clients=_SEED_CLIENTS.value,
    central=central.CentralConfig(
      epochs=_SEED_EPOCHS.value,
      batch_seconds=_SEED_BATCH_SECONDS.value,
      learning_rate=_SEED_LEARNING_RATE.value,
      max_tempo_change=_SEED_TEMPO.value,
    ),
    rounds=_ROUNDS.value,
    batches=client_datasets.BatchConfig(
      _CLIENT_BATCH_SECONDS.value,
      epochs=_CLIENT_EPOCHS.value or None,
      steps=_CLIENT_STEPS.value or None,
      max_seconds=_CLIENT_MAX_SECONDS.value or None,
    ),
    federated=federated.FederatedConfig(
      client_learning_rate=_CLIENT_LEARNING_RATE.value,
      client_gradient_clip=_CLIENT_GRADIENT_CLIP.value,
      server_optimizer=_SERVER_OPTIMIZER.value,
      server_learning_rate=_SERVER_LEARNING_RATE.value,
    ),
    sampling=_SAMPLING.value,
    cohort_size=_COHORT_SIZE.value,
    clipping=_CLIPPING.value,
    layer_bounds=_LAYER_BOUNDS.value,
    clip_norm=_CLIP_NORM.value,
    noise_multiplier=_NOISE_MULTIPLIER.value,
    delta=_DELTA.value,
    evaluate_every=_EVALUATE_EVERY.value,
    seed=_SEED.value,
  )
  return train.train(config, command_line.flags_in_force(_PATHS))


def _synthetic_store(clients: int, held_out_voices: bool) -> str:
  config = synthetic.SyntheticConfig(
    clients, 2 * _SEED.value + held_out_voices, held_out_voices=held_out_voices
  )
  return str(prepare.cached_synthetic(config))


if __name__ == '__main__':
  command_line.run(main)
