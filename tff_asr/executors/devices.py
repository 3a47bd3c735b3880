"""The devices of this machine: which there are, and which are used."""

from collections.abc import Sequence
import os
import re

import tensorflow as tf

from tff_asr import errors

ALL = 'all'
_KINDS = ('cpu', 'gpu')
_PART = re.compile(r'(cpu|gpu)(?::(\d+|all))?')


def select(names: str = '') -> list[str]:
  """Finds devices, and lets TensorFlow take a GPU's memory only as needed.

  Call it before TensorFlow computes anything: neither can be changed then.
  Several CPU devices are parts of the one processor; they stand in for GPUs in
  tests.

  Args:
    names: Some of `cpu`, `cpu:N`, `gpu`, `gpu:N` and `gpu:all`, separated by
      commas.  By default all GPUs, or the CPU where there is none.

  Returns:
    TensorFlow's names, `/CPU:0` and so on.

  Raises:
    UserError: If there is no such device.
  """
  gpus = tf.config.list_physical_devices('GPU')
  for gpu in gpus:
    _let_memory_grow(gpu)
  wanted = [
    name
    for part in names.split(',')
    if part.strip()
    for name in _expand(part.strip().lower(), len(gpus))
  ]
  if not wanted:
    wanted = [('gpu', i) for i in range(len(gpus))] or [('cpu', 0)]
  if len(set(wanted)) < len(wanted):
    raise errors.UserError(f'--devices={names} names a device twice.')
  _divide_cpu(max((i for kind, i in wanted if kind == 'cpu'), default=0) + 1)
  return [f'/{kind.upper()}:{number}' for kind, number in wanted]


def _expand(part: str, gpus: int) -> list[tuple[str, int]]:
  match = _PART.fullmatch(part)
  if not match:
    raise errors.UserError(
      f'--devices: {part!r} is no device: give cpu:0, gpu:1, gpu:all, or'
      ' several with commas between them.'
    )
  kind, number = match.groups()
  if kind == 'gpu' and not gpus:
    raise errors.UserError(
      f'--devices={part}: TensorFlow sees no GPU here. `nvidia-smi` shows'
      ' whether the driver does; TensorFlow finds its CUDA libraries if Bazel'
      ' is run with --config=gpu. Give --devices=cpu to go on without.'
    )
  if number == ALL:
    return [(kind, i) for i in range(gpus if kind == 'gpu' else 1)]
  index = int(number or 0)
  if kind == 'gpu' and index >= gpus:
    raise errors.UserError(
      f'--devices={part}: the last GPU here is gpu:{gpus - 1}.'
    )
  return [(kind, index)]


def _let_memory_grow(gpu) -> None:
  try:
    tf.config.experimental.set_memory_growth(gpu, True)
  except RuntimeError as error:
    if not tf.config.experimental.get_memory_growth(gpu):
      raise RuntimeError(f'{gpu.name} was in use before: {error}') from error


def _divide_cpu(count: int) -> None:
  """Makes so many logical devices of the processor."""
  if count == 1:
    return
  try:
    (cpu,) = tf.config.list_physical_devices('CPU')
    tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration()] * count
    )
    return
  except RuntimeError:  # It is in use, and stays as it is.
    found = len(tf.config.list_logical_devices('CPU'))
  if found < count:
    raise errors.UserError(
      f'--devices: cpu:{count - 1} is not there, the last is cpu:{found - 1}.'
    )


def check_exist(names: Sequence[str]) -> None:
  """Checks names as TensorFlow has them, which would run elsewhere silently.

  Raises:
    ValueError: If there is no such device.
  """
  found = [
    f'/{device.device_type}:{device.name.rpartition(":")[2]}'
    for device in tf.config.list_logical_devices()
  ]
  missing = [name for name in names if name not in found]
  if missing:
    raise ValueError(
      f'No device {", ".join(missing)}: there are {", ".join(found)}.'
    )


def share_cores(devices: Sequence[str], clients_per_device: int | None) -> None:
  """Lets each of the clients that train at once have its share of the cores.

  TensorFlow divides every operation over all cores.  Where as many clients
  train as there are cores, each does more on one of its own.  Call it before
  TensorFlow computes anything; later nothing changes.

  Args:
    devices: What `select` gave.
    clients_per_device: Number of clients that train at once on each, or `None`
      for `default_clients_per_device`.
  """
  if any_gpu(devices):
    return
  cores = os.cpu_count() or 1
  each = clients_per_device or default_clients_per_device(devices)
  try:
    tf.config.threading.set_inter_op_parallelism_threads(cores)
    tf.config.threading.set_intra_op_parallelism_threads(
      max(1, cores // (each * len(devices)))
    )
  except RuntimeError:  # TensorFlow has its threads already.
    pass


def any_gpu(names: Sequence[str]) -> bool:
  """Whether one of the devices that `select` gave is a GPU."""
  return any('GPU' in name for name in names)


def default_clients_per_device(devices: Sequence[str]) -> int:
  """Two on a CPU of several cores: one is read while another trains.

  On a GPU it is one, for which there is more often memory.
  """
  if any_gpu(devices):
    return 1
  return 2 if (os.cpu_count() or 1) > len(devices) else 1


def describe(devices: Sequence[str]) -> str:
  """Names devices as a user knows them."""
  return ', '.join(_describe(device) for device in devices)


def _describe(device: str) -> str:
  kind, _, number = device.strip('/').lower().partition(':')
  if kind == 'cpu':
    return f'cpu:{number} ({os.cpu_count()} cores)'
  gpu = tf.config.list_physical_devices('GPU')[int(number)]
  details = tf.config.experimental.get_device_details(gpu)
  return f'gpu:{number} ({details.get("device_name", "unknown")})'
