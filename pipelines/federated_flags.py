"""Flags of what clients and the server do in a round."""

from absl import flags

from tff_asr import errors
from tff_asr.corpora import batching
from tff_asr.learning import federated
from tff_asr.optimizers import schedules

_DEFAULT_CLIENT_EPOCHS = 2

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
  'server_learning_rate',
  0.02,
  'Step of the server; in the paper 0.001 to 0.009 for lamb, 0.7 to 3.4 for'
  ' lars.',
  lower_bound=0,
)
_SERVER_DECAY_START = flags.DEFINE_integer(
  'server_decay_start',
  0,
  'Round until which the step of the server stays as it is, if it decays.',
  lower_bound=0,
)
_SERVER_DECAY_ROUNDS = flags.DEFINE_integer(
  'server_decay_rounds',
  None,
  'From then on it falls, exponentially, by --server_decay_rate in as many'
  ' rounds; by default it does not.',
  lower_bound=1,
)
_SERVER_DECAY_RATE = flags.DEFINE_float(
  'server_decay_rate',
  None,
  'Factor by which it falls in --server_decay_rounds.',
  upper_bound=1.0,
)


def set_defaults() -> None:
  """Gives a value to flags whose default depends on others."""
  if not (_CLIENT_EPOCHS.value or _CLIENT_STEPS.value):
    flags.FLAGS.client_epochs = _DEFAULT_CLIENT_EPOCHS


def batches() -> batching.BatchConfig:
  """Returns size and number of a client's batches."""
  return batching.BatchConfig(
    _CLIENT_BATCH_SECONDS.value,
    epochs=_CLIENT_EPOCHS.value or None,
    steps=_CLIENT_STEPS.value or None,
    max_seconds=_CLIENT_MAX_SECONDS.value or None,
  )


def config() -> federated.FederatedConfig:
  """Returns the optimizers.

  Raises:
    UserError: If the flags contradict each other.
  """
  return federated.FederatedConfig(
    client_learning_rate=_CLIENT_LEARNING_RATE.value,
    client_gradient_clip=_CLIENT_GRADIENT_CLIP.value,
    server_optimizer=_SERVER_OPTIMIZER.value,
    server_learning_rate=_SERVER_LEARNING_RATE.value,
    server_schedule=_server_schedule(),
  )


def _server_schedule() -> schedules.Schedule:
  rounds, rate = _SERVER_DECAY_ROUNDS.value, _SERVER_DECAY_RATE.value
  errors.require(
    (rounds is None) == (rate is None),
    '--server_decay_rounds and --server_decay_rate go together: give both, or'
    ' neither.',
  )
  if rounds is None:
    errors.require(
      not _SERVER_DECAY_START.value,
      f'--server_decay_start={_SERVER_DECAY_START.value} of no decay: give'
      ' --server_decay_rounds and --server_decay_rate as well.',
    )
    return schedules.UNCHANGED
  return schedules.Schedule(
    schedules.EXPONENTIAL,
    decay_start=_SERVER_DECAY_START.value,
    decay_steps=rounds,
    decay_rate=rate,
  )
