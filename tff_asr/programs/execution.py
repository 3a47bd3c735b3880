"""Selects the runtime and the devices of a program."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses

from absl import logging
import tensorflow_federated as tff

from tff_asr import errors
from tff_asr.executors import context, devices, native, placement
from tff_asr.learning import private_process

DEVICE, NATIVE = EXECUTORS = ('device', 'native')
_CPU_LOSS, _CUDNN_LOSS = _LOSS_KERNELS = ('CTCLoss', 'CTCLossV2')


@dataclasses.dataclass(frozen=True)
class ExecutionConfig:
  """Settings of the runtime.

  Attributes:
    executor: `device` for the runtime in this process, `native` for TFF's own
      runtime.
    devices: The devices, as in `devices.select`.
    clients_per_device: Number of clients that train at once on each device; the
      default is the result of `devices.default_clients_per_device`.
    max_bad_clients: Number of clients that may fail in a round; failed clients
      are left out of the round.  `native` does not use this setting.  Under a
      guarantee, any number may fail, and no output shows it.
  """

  executor: str = DEVICE
  devices: str = ''
  clients_per_device: int | None = None
  max_bad_clients: int = 0

  @property
  def loop(self) -> tff.learning.LoopImplementation:
    """The loop over a client's batches that is faster on this runtime."""
    if self.executor == NATIVE:
      return private_process.NATIVE_LOOP
    return private_process.DEVICE_LOOP

  def select(self, trains_clients: bool, promises: bool = False) -> list[str]:
    """Selects the devices; call this before TensorFlow computes anything.

    Args:
      trains_clients: Whether rounds will follow.  Then the clients share the
        processor cores.
      promises: Whether the rounds will have a guarantee.

    Returns:
      The names of the devices.

    Raises:
      UserError: If the devices are not available, or not supported by this
        executor, or if the executor cannot keep a guarantee.
    """
    if self.executor == NATIVE:
      errors.require(
        not promises,
        "`executor=native` with a guarantee: TFF's own runtime ends a run when"
        ' the data of one client fail, and so reveals that client. Give'
        ' `executor=device`, or `noise_multiplier=0`.',
      )
      errors.require(
        not self.devices,
        f"`devices={self.devices}` with `executor=native`: TFF's own runtime"
        ' uses only the processor. Give no devices, or `executor=device`.',
      )
      return ['/CPU:0']
    if promises:
      context.check_tensorflow_is_silent()
    selected = devices.select(self.devices)
    if trains_clients:
      devices.share_cores(selected, self.clients_per_device)
    return selected

  @contextlib.contextmanager
  def running(
    self,
    selected: list[str],
    client_seconds: Callable[[str], float],
    promises: bool = False,
  ) -> Iterator['Runtime']:
    """Makes TFF execute with these settings; yields the runtime in use.

    Args:
      selected: The result of `select`.
      client_seconds: Returns the seconds of audio of a client; the clients with
        the most audio train first.
      promises: Whether the rounds have a guarantee.
    """
    if self.executor == NATIVE:
      worker = native.set_native_context(self.clients_per_device)
      try:
        yield Runtime(
          f"TFF's own runtime, {devices.describe(selected)}",
          contextlib.nullcontext,
        )
      finally:
        worker.stop()
      return
    local = context.set_local_device_context(
      selected,
      self.clients_per_device,
      client_size=client_seconds,
      watch=(
        placement.Watch(_LOSS_KERNELS, _report_loss_kernel)
        if devices.any_gpu(selected)
        else None
      ),
      max_failed_clients=None if promises else self.max_bad_clients,
    )

    @contextlib.contextmanager
    def strictly():
      most, local.max_failed_clients = local.max_failed_clients, 0
      try:
        yield
      finally:
        local.max_failed_clients = most

    try:
      yield Runtime(str(local), strictly)
    finally:
      local.close()


@dataclasses.dataclass(frozen=True)
class Runtime:
  """A runtime in which TFF executes.

  Attributes:
    description: The name and the devices of the runtime, in words.
    strictly: Context in which the first failing client ends a round.
  """

  description: str
  strictly: Callable[[], contextlib.AbstractContextManager]


def _report_loss_kernel(found: list[tuple[str, str]]) -> None:
  """Reports the kernel that computes the loss in a process with a GPU."""
  kernels = {operation for operation, _ in found}
  if _CUDNN_LOSS in kernels:
    print(f"cuDNN's kernel ({_CUDNN_LOSS}) computes the CTC loss.")
  if _CPU_LOSS in kernels or not kernels:
    logging.warning(
      "TensorFlow did not choose cuDNN's kernel for the CTC loss: the processor"
      ' computes the loss, and every step waits for two copies.'
    )
