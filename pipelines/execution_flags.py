"""Flags of the runtime, for the commands that run federated rounds."""

from absl import flags

from tff_asr.programs import execution

_EXECUTOR = flags.DEFINE_enum(
  'executor',
  execution.DEVICE,
  execution.EXECUTORS,
  'What runs federated computations: the devices of this process, or the'
  ' process that comes with TFF, on the CPU only and without a privacy'
  ' guarantee.',
)
_DEVICES = flags.DEFINE_string(
  'devices',
  '',
  'Devices that train clients, for instance gpu:all, gpu:0,gpu:2 or cpu. By'
  ' default all GPUs, or the CPU where there is none. cpu:0,cpu:1 divides the'
  ' CPU, as a stand-in for several GPUs.',
)
_CLIENTS_PER_DEVICE = flags.DEFINE_integer(
  'clients_per_device',
  None,
  'Clients that train at once on each device, each with a copy of the model. By'
  ' default one on a GPU, and on a CPU of several cores two; with'
  ' --executor=native as many as there are cores.',
  lower_bound=1,
)
_MAX_BAD_CLIENTS = flags.DEFINE_integer(
  'max_bad_clients',
  3,
  'Clients of a round that may fail (on data that cannot be read, for instance)'
  ' and are left out of it, each with a warning; one more ends the run. With'
  ' --executor=native the first ends it. Under a privacy guarantee any number'
  ' is left out, and nothing tells of it.',
  lower_bound=0,
)


def config() -> execution.ExecutionConfig:
  """Returns what the flags say."""
  return execution.ExecutionConfig(
    _EXECUTOR.value,
    _DEVICES.value,
    _CLIENTS_PER_DEVICE.value,
    _MAX_BAD_CLIENTS.value,
  )
