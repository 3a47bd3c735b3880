"""Flags of training on the clients and of the server's update."""

from collections.abc import Mapping
from typing import Any

from absl import flags

from pipelines import flag_kinds
from tff_asr import errors
from tff_asr.corpora import batching
from tff_asr.learning import federated
from tff_asr.optimizers import schedules

_DEFAULT_CLIENT_EPOCHS = 2

_CLIENT_BATCH_SECONDS = flags.DEFINE_float(
  'client_batch_seconds',
  16.0,
  'Seconds of audio in a batch on a client, padding included.',
)
_CLIENT_EPOCHS = flags.DEFINE_integer(
  'client_epochs',
  0,
  'Number of passes of a client over its data in a round. 0 means'
  f' {_DEFAULT_CLIENT_EPOCHS}, or --client_steps if that is given.',
  lower_bound=0,
)
_CLIENT_STEPS = flags.DEFINE_integer(
  'client_steps',
  0,
  'Number of batches that a client trains on in a round, instead of'
  ' --client_epochs. The data is repeated as needed. 0 to count passes.',
  lower_bound=0,
)
_CLIENT_MAX_SECONDS = flags.DEFINE_float(
  'client_max_seconds',
  3_600.0,
  'Seconds of audio that a client uses in a round. A client with more audio'
  ' draws utterances of about this total length, new ones in each round. 0 for'
  ' no limit. One second takes 32 kB of memory.',
  lower_bound=0.0,
)
_CLIENT_LEARNING_RATE = flag_kinds.define_positive(
  'client_learning_rate', 0.3, 'Learning rate of SGD on the clients.'
)
_CLIENT_GRADIENT_CLIP = flags.DEFINE_float(
  'client_gradient_clip',
  1.0,
  'Largest L2 norm of a gradient on a client; longer gradients are clipped.',
)
_SERVER_OPTIMIZER = flags.DEFINE_enum(
  'server_optimizer',
  'lamb',
  sorted(federated.SERVER_OPTIMIZERS),
  'Optimizer of the server.',
)
_SERVER_LEARNING_RATE = flag_kinds.define_positive(
  'server_learning_rate',
  0.02,
  'Learning rate of the server. The paper uses 0.001 to 0.009 with lamb, and'
  ' 0.7 to 3.4 with lars.',
)
_SERVER_DECAY_START = flags.DEFINE_integer(
  'server_decay_start',
  0,
  'Round after which the learning rate of the server decays, if'
  ' --server_decay_rounds is given.',
  lower_bound=0,
)
_SERVER_DECAY_ROUNDS = flags.DEFINE_integer(
  'server_decay_rounds',
  None,
  'Number of rounds in which the learning rate of the server decays once by'
  ' --server_decay_rate, exponentially. By default there is no decay.',
  lower_bound=1,
)
_SERVER_DECAY_RATE = flags.DEFINE_float(
  'server_decay_rate',
  None,
  'Factor on the learning rate of the server for every --server_decay_rounds.',
  upper_bound=1.0,
)


def resolved() -> dict[str, int]:
  """Returns the values of flags whose default depends on other flags."""
  epochs = _CLIENT_EPOCHS.value
  if not (epochs or _CLIENT_STEPS.value):
    epochs = _DEFAULT_CLIENT_EPOCHS
  return {'client_epochs': epochs}


def batches(values: Mapping[str, Any]) -> batching.BatchConfig:
  """Returns the size and the number of a client's batches.

  Args:
    values: The result of `resolved`.
  """
  return batching.BatchConfig(
    _CLIENT_BATCH_SECONDS.value,
    epochs=values['client_epochs'] or None,
    steps=_CLIENT_STEPS.value or None,
    max_seconds=_CLIENT_MAX_SECONDS.value or None,
  )


def config() -> federated.FederatedConfig:
  """Returns the settings of the optimizers.

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
    '--server_decay_rounds and --server_decay_rate need each other: give both,'
    ' or neither.',
  )
  if rounds is None:
    errors.require(
      not _SERVER_DECAY_START.value,
      '--server_decay_start needs --server_decay_rounds and'
      ' --server_decay_rate: give them as well.',
    )
    return schedules.UNCHANGED
  return schedules.Schedule(
    schedules.EXPONENTIAL,
    decay_start=_SERVER_DECAY_START.value,
    decay_steps=rounds,
    decay_rate=rate,
  )
