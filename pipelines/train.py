"""Trains a speech model by differentially private federated learning.

With no flags: 64 synthetic speakers, a small seed model from other speakers,
federated rounds with per-layer clipping and noise, and a table of the result.

  bazel run //pipelines:train
  bazel run //pipelines:train -- --flagfile=configs/an4_federated.flags \
      --train_store=STORE --eval_store=STORE --output_dir=RUN
"""

import datetime

from absl import flags

from pipelines import command_line, execution_flags
from tff_asr.corpora import client_datasets
from tff_asr.corpora.synthetic import corpus as synthetic
from tff_asr.learning import central, federated
from tff_asr.models import precision, presets
from tff_asr.privacy import allocation, bounds, clipping, groups, layer_clipping
from tff_asr.privacy import plan as plan_lib
from tff_asr.programs import prepare, privacy_config, train

_DEFAULT_NOISE_MULTIPLIER = 0.01

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
_ROUNDS = flags.DEFINE_integer(
  'rounds', 40, 'Federated rounds in all.', lower_bound=0
)
_COHORT_SIZE = flags.DEFINE_integer(
  'cohort_size',
  16,
  'Clients in a round: the expected number (poisson), which is the denominator'
  ' of the mean under clipping, or the exact one (fixed), or about the number'
  ' (none).',
  lower_bound=1,
)
_SAMPLING = flags.DEFINE_enum(
  'sampling',
  plan_lib.POISSON,
  plan_lib.SAMPLINGS,
  'How cohorts are drawn: each client independently with the same probability'
  ' (poisson), a set of a fixed size, or not by chance: clients take turns'
  ' (none). Epsilon is accounted for as is drawn.',
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
_LAYER_GROUPS = flags.DEFINE_enum(
  'layer_groups',
  groups.TENSOR,
  [groups.TENSOR, groups.BLOCK],
  'What a layer is (per_layer): each tensor, or each block of tensors.',
)
_LAYER_BOUNDS = flags.DEFINE_enum(
  'layer_bounds',
  bounds.UNIFORM,
  bounds.NAMES,
  'Bounds of the layers (per_layer): all equal, by the root of the size,'
  ' following a quantile of the norms, or as in --layer_bounds_file.',
)
_LAYER_BOUNDS_FILE = flags.DEFINE_string(
  'layer_bounds_file',
  '',
  'Bounds by layer (given): on each line a name, a tab and a bound, as in the'
  ' layer_bounds.tsv of a run with adaptive bounds. --clip_norm follows.',
)
_CLIP_NORM = flags.DEFINE_float(
  'clip_norm',
  0.1,
  'Most that a client contributes, in L2 norm over all; at first, if adaptive.',
)
_CLIPPING_MODE = flags.DEFINE_enum(
  'clipping_mode',
  clipping.CLIP,
  clipping.MODES,
  'clip: layers within their bounds stay as they are. normalise: as the code'
  ' published with the paper, which scales every layer of too long an update to'
  ' its bound, up or down.',
)
_CLIP_QUANTILE = flags.DEFINE_float(
  'clip_quantile', 0.5, 'Share of clients that adaptive bounds leave unclipped.'
)
_CLIP_ADAPTATION_RATE = flags.DEFINE_float(
  'clip_adaptation_rate', 0.2, 'Step of adaptive bounds, in the exponent.'
)
_CLIP_COUNT_STDDEV = flags.DEFINE_float(
  'clip_count_stddev',
  None,
  'Noise on the count of unclipped clients of each layer (adaptive); by default'
  ' a twentieth of the cohort, or more where that would take over a tenth of'
  ' the budget.',
)
_NOISE_MULTIPLIER = flags.DEFINE_float(
  'noise_multiplier',
  None,
  'Noise on the sum of updates over clip_norm; 0 for no privacy; by default'
  f' {_DEFAULT_NOISE_MULTIPLIER}, unless --target_epsilon is given.',
  lower_bound=0,
)
_TARGET_EPSILON = flags.DEFINE_float(
  'target_epsilon',
  None,
  'Instead of --noise_multiplier: the least noise for which epsilon, after all'
  ' --rounds and with --prior_ledger, is at most this.',
)
_NOISE_ALLOCATION = flags.DEFINE_enum(
  'noise_allocation',
  allocation.EQUAL,
  allocation.NAMES,
  'The same noise on all coordinates, noise in proportion to the bound of the'
  ' layer, or the least noise in all at the same epsilon.',
)
_DELTA = flags.DEFINE_float(
  'delta',
  1e-9,
  'Delta at which epsilon is given, less than one over the population.',
)
_MAX_EPSILON = flags.DEFINE_float(
  'max_epsilon', None, 'The run stops before the round that would exceed this.'
)
_PRIOR_LEDGER = flags.DEFINE_list(
  'prior_ledger',
  [],
  'Run folders (or their ledger.jsonl) of earlier runs on the same clients,'
  ' with commas: what they released counts as well.',
)
_ACCOUNTING_COHORT_SIZE = flags.DEFINE_integer(
  'accounting_cohort_size',
  None,
  'Cohort of a hypothetical run with the same noise on the mean, whose epsilon'
  ' is reported beside that of this run.',
  lower_bound=1,
)
_ACCOUNTING_POPULATION = flags.DEFINE_integer(
  'accounting_population',
  None,
  'Population of that hypothetical run.',
  lower_bound=1,
)
_INSECURE_NOISE_SEED = flags.DEFINE_integer(
  'insecure_noise_seed',
  None,
  'For debugging: noise that repeats. Nothing is guaranteed then, and every'
  ' epsilon reads none.',
  lower_bound=0,
  upper_bound=2**63 - 1,
)
_INSECURE_COHORT_SEED = flags.DEFINE_integer(
  'insecure_cohort_seed',
  None,
  'For experiments: the same cohorts in every run with this seed. Who knows it'
  ' knows them, so it is refused beside a guarantee.',
  lower_bound=0,
)
_RELEASE_UNPROTECTED_METRICS = flags.DEFINE_boolean(
  'release_unprotected_metrics',
  False,
  'For research: release figures on clients without noise (loss, how many took'
  ' part and failed, norms of updates). The guarantee does not cover them.',
)
_EVALUATE_EVERY = flags.DEFINE_integer(
  'evaluate_every', 10, 'Rounds between evaluations.', lower_bound=1
)
_CHECKPOINT_EVERY = flags.DEFINE_integer(
  'checkpoint_every',
  1,
  'Rounds between checkpoints. A private run that is killed repeats the rounds'
  ' since the last one, and pays for them again.',
  lower_bound=1,
)
_KEEP_CHECKPOINTS = flags.DEFINE_integer(
  'keep_checkpoints',
  2,
  'Number of checkpoints to keep; that of the lowest WER is kept besides.',
  lower_bound=1,
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
_PATHS = (
  'train_store',
  'eval_store',
  'output_dir',
  'seed_model',
  'layer_bounds_file',
  'prior_ledger',
)


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
  if _NOISE_MULTIPLIER.value is None and _TARGET_EPSILON.value is None:
    flags.FLAGS.noise_multiplier = _DEFAULT_NOISE_MULTIPLIER
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
    privacy=_privacy(),
    evaluate_every=_EVALUATE_EVERY.value,
    checkpoint_every=_CHECKPOINT_EVERY.value,
    keep_checkpoints=_KEEP_CHECKPOINTS.value,
    execution=execution_flags.config(),
    seed=_SEED.value,
  )
  return train.train(config, command_line.flags_in_force(_PATHS))


def _privacy() -> privacy_config.PrivacyConfig:
  return privacy_config.PrivacyConfig(
    sampling=_SAMPLING.value,
    cohort_size=_COHORT_SIZE.value,
    clipping=_clipping() if _CLIPPING.value != 'none' else None,
    noise_multiplier=_NOISE_MULTIPLIER.value,
    target_epsilon=_TARGET_EPSILON.value,
    noise_allocation=_NOISE_ALLOCATION.value,
    delta=_DELTA.value,
    max_epsilon=_MAX_EPSILON.value,
    prior_ledgers=tuple(map(command_line.path, _PRIOR_LEDGER.value)),
    accounting_cohort_size=_ACCOUNTING_COHORT_SIZE.value,
    accounting_population=_ACCOUNTING_POPULATION.value,
    insecure_noise_seed=_INSECURE_NOISE_SEED.value,
    insecure_cohort_seed=_INSECURE_COHORT_SEED.value,
    unprotected_metrics=_RELEASE_UNPROTECTED_METRICS.value,
  )


def _clipping() -> layer_clipping.LayerClipping:
  file = _LAYER_BOUNDS_FILE.value
  given = bounds.read(command_line.path(file)) if file else {}
  if given and not flags.FLAGS['clip_norm'].present:
    flags.FLAGS.clip_norm = bounds.total(given.values())
  return layer_clipping.LayerClipping(
    clip_norm=_CLIP_NORM.value,
    layer_groups=(
      groups.MODEL if _CLIPPING.value == 'global' else _LAYER_GROUPS.value
    ),
    layer_bounds=_LAYER_BOUNDS.value,
    given_bounds=tuple(given.items()),
    mode=_CLIPPING_MODE.value,
    quantile=_CLIP_QUANTILE.value,
    adaptation_rate=_CLIP_ADAPTATION_RATE.value,
    count_stddev=_CLIP_COUNT_STDDEV.value,
  )


def _synthetic_store(clients: int, held_out_voices: bool) -> str:
  config = synthetic.SyntheticConfig(
    clients, 2 * _SEED.value + held_out_voices, held_out_voices=held_out_voices
  )
  return str(prepare.cached_synthetic(config))


if __name__ == '__main__':
  command_line.run(main)
