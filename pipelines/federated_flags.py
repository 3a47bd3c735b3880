"""Flags of what clients and the server do in a round."""

from absl import flags

from tff_asr.corpora import client_datasets
from tff_asr.learning import federated

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
  'server_learning_rate', 0.02, 'Step of the server.', lower_bound=0
)


def set_defaults() -> None:
  """Gives a value to flags whose default depends on others."""
  if not (_CLIENT_EPOCHS.value or _CLIENT_STEPS.value):
    flags.FLAGS.client_epochs = _DEFAULT_CLIENT_EPOCHS


def batches() -> client_datasets.BatchConfig:
  """Returns size and number of a client's batches."""
  return client_datasets.BatchConfig(
    _CLIENT_BATCH_SECONDS.value,
    epochs=_CLIENT_EPOCHS.value or None,
    steps=_CLIENT_STEPS.value or None,
    max_seconds=_CLIENT_MAX_SECONDS.value or None,
  )


def config() -> federated.FederatedConfig:
  """Returns the optimizers."""
  return federated.FederatedConfig(
    client_learning_rate=_CLIENT_LEARNING_RATE.value,
    client_gradient_clip=_CLIENT_GRADIENT_CLIP.value,
    server_optimizer=_SERVER_OPTIMIZER.value,
    server_learning_rate=_SERVER_LEARNING_RATE.value,
  )
