"""Devices of this machine: finding, selecting and sharing them."""

from collections.abc import Sequence
import os
import re

import tensorflow as tf

from tff_asr import errors

ALL = 'all'
_KINDS = ('cpu', 'gpu')
_PART = re.compile(r'(cpu|gpu)(?::(\d+|all))?')


def select(names: str = '') -> list[str]:
  """Selects devices, and lets TensorFlow take a GPU's memory only as needed.

  Call this function before TensorFlow computes anything; afterwards neither the
  devices nor the growth of memory can be changed.  Several CPU devices are
  parts of one processor; in tests they stand in for GPUs.

  Args:
    names: Some of `cpu`, `cpu:N`, `gpu`, `gpu:N` and `gpu:all`, separated by
      commas.  By default all GPUs, or the CPU if there is no GPU.

  Returns:
    TensorFlow's names of the devices, such as `/CPU:0`.

  Raises:
    UserError: If `names` has a syntax error, names a device twice, or names a
      device that does not exist.
  """
  gpus = tf.config.list_physical_devices('GPU')
  for gpu in gpus:
    _enable_memory_growth(gpu)
  wanted = [
    name
    for part in names.split(',')
    if part.strip()
    for name in _expand(part.strip().lower(), len(gpus))
  ]
  if not wanted:
    wanted = [('gpu', i) for i in range(len(gpus))] or [('cpu', 0)]
  if len(set(wanted)) < len(wanted):
    raise errors.UserError(
      f'`devices={names}` names a device twice: name each device once.'
    )
  _create_cpu_devices(
    max((i for kind, i in wanted if kind == 'cpu'), default=0) + 1
  )
  return [f'/{kind.upper()}:{number}' for kind, number in wanted]


def _expand(part: str, gpus: int) -> list[tuple[str, int]]:
  match = _PART.fullmatch(part)
  if not match:
    raise errors.UserError(
      f'`devices`: {part!r} is not a device. Give cpu:0, gpu:1, gpu:all, or a'
      ' list with commas.'
    )
  kind, number = match.groups()
  if kind == 'gpu' and not gpus:
    raise errors.UserError(
      f'`devices={part}`: TensorFlow sees no GPU on this machine. The command'
      ' nvidia-smi shows whether the driver sees one. TensorFlow finds its'
      ' CUDA libraries if Bazel runs with --config=gpu. Give `devices=cpu` to'
      ' use the CPU instead.'
    )
  if number == ALL:
    return [(kind, i) for i in range(gpus if kind == 'gpu' else 1)]
  index = int(number or 0)
  if kind == 'gpu' and index >= gpus:
    raise errors.UserError(
      f'`devices={part}` does not exist: the last GPU of this machine is'
      f' gpu:{gpus - 1}.'
    )
  return [(kind, index)]


def _enable_memory_growth(gpu) -> None:
  try:
    tf.config.experimental.set_memory_growth(gpu, True)
  except RuntimeError as error:
    if not tf.config.experimental.get_memory_growth(gpu):
      raise RuntimeError(
        f'TensorFlow used {gpu.name} before the devices were selected: {error}'
      ) from error


def _create_cpu_devices(count: int) -> None:
  """Divides the processor into `count` logical devices.

  Raises:
    UserError: If the processor is in use and has fewer logical devices.
  """
  if count == 1:
    return
  try:
    (cpu,) = tf.config.list_physical_devices('CPU')
    tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration()] * count
    )
    return
  except RuntimeError:  # The processor is in use; its devices are fixed.
    found = len(tf.config.list_logical_devices('CPU'))
  if found < count:
    raise errors.UserError(
      f'`devices=cpu:{count - 1}` does not exist: the last CPU device is'
      f' cpu:{found - 1}.'
    )


def check_exist(names: Sequence[str]) -> None:
  """Checks that devices exist.

  TensorFlow would silently run an operation on another device.

  Args:
    names: TensorFlow's names of the devices, such as `/CPU:0`.

  Raises:
    ValueError: If a device does not exist.
  """
  found = [
    f'/{device.device_type}:{device.name.rpartition(":")[2]}'
    for device in tf.config.list_logical_devices()
  ]
  missing = [name for name in names if name not in found]
  if missing:
    raise ValueError(
      f'No device {", ".join(missing)}: this machine has {", ".join(found)}.'
    )


def share_cores(devices: Sequence[str], clients_per_device: int | None) -> None:
  """Divides the cores evenly between the clients that train at once.

  By default TensorFlow divides every operation over all cores.  If as many
  clients as cores train at once, one core for each client is faster.  Call this
  function before TensorFlow computes anything; afterwards it has no effect.

  Args:
    devices: Names that `select` returned.
    clients_per_device: Number of clients that train at once on each device, or
      `None` for `default_clients_per_device`.
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
  except RuntimeError:  # TensorFlow has started its threads already.
    pass


def any_gpu(names: Sequence[str]) -> bool:
  """Returns whether one of the devices that `select` returned is a GPU."""
  return any('GPU' in name for name in names)


def default_clients_per_device(devices: Sequence[str]) -> int:
  """Returns the default number of clients that train at once on each device.

  The default is 2 if the CPU has more cores than there are devices: the data of
  one client are read while another client trains.  On a GPU the default is 1,
  because memory is more often too small for two clients.
  """
  if any_gpu(devices):
    return 1
  return 2 if (os.cpu_count() or 1) > len(devices) else 1


def describe(devices: Sequence[str]) -> str:
  """Returns the names of devices for users, with cores or model of the GPU."""
  return ', '.join(_describe(device) for device in devices)


def _describe(device: str) -> str:
  kind, _, number = device.strip('/').lower().partition(':')
  if kind == 'cpu':
    return f'cpu:{number} ({os.cpu_count()} cores)'
  gpu = tf.config.list_physical_devices('GPU')[int(number)]
  details = tf.config.experimental.get_device_details(gpu)
  return f'gpu:{number} ({details.get("device_name", "unknown")})'
