"""Flags of the runtime, for the commands that run federated rounds."""

from absl import flags

from tff_asr.programs import execution

_EXECUTOR = flags.DEFINE_enum(
  'executor',
  execution.DEVICE,
  execution.EXECUTORS,
  'Runtime of federated computations: the devices of this process (device), or'
  " TFF's own process (native), which runs on the CPU only and cannot be used"
  ' with a privacy guarantee.',
)
_DEVICES = flags.DEFINE_string(
  'devices',
  '',
  'Devices that train clients, such as gpu:all, gpu:0,gpu:2 or cpu. By default'
  ' all GPUs, or the CPU on a machine without a GPU. cpu:0,cpu:1 divides the'
  ' CPU, as a stand-in for several GPUs.',
)
_CLIENTS_PER_DEVICE = flags.DEFINE_integer(
  'clients_per_device',
  None,
  'Number of clients that train at once on each device, each with a copy of the'
  ' model. By default one on a GPU, and two on a CPU of several cores; with'
  ' --executor=native one for each core.',
  lower_bound=1,
)
_MAX_BAD_CLIENTS = flags.DEFINE_integer(
  'max_bad_clients',
  3,
  'Number of clients in a round that may fail, for instance on unreadable data.'
  ' Each failed client is left out with a warning; one more failure ends the'
  ' run. With --executor=native the first failure ends the run. Under a privacy'
  ' guarantee any number of clients may fail, and no warning tells of a'
  ' failure.',
  lower_bound=0,
)


def config() -> execution.ExecutionConfig:
  """Returns the settings of the runtime."""
  return execution.ExecutionConfig(
    _EXECUTOR.value,
    _DEVICES.value,
    _CLIENTS_PER_DEVICE.value,
    _MAX_BAD_CLIENTS.value,
  )
