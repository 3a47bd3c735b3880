"""Which of TFF's runtimes a program uses, and on which devices."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses

from absl import logging

from tff_asr import errors
from tff_asr.executors import context, devices, native, placement

DEVICE, NATIVE = EXECUTORS = ('device', 'native')
_CPU_LOSS, _CUDNN_LOSS = _LOSS_KERNELS = ('CTCLoss', 'CTCLossV2')


@dataclasses.dataclass(frozen=True)
class ExecutionConfig:
  """Settings of the runtime.

  Attributes:
    executor: `device` for this process, `native` for TFF's own.
    devices: What `devices.select` takes.
    clients_per_device: Clients that train at once on each device; by default
      what `devices.default_clients_per_device` says.
    max_bad_clients: So many clients of a round may fail and are left out of it;
      `native` knows of no such thing.  Under a guarantee any number may fail,
      and nothing tells of it.
  """

  executor: str = DEVICE
  devices: str = ''
  clients_per_device: int | None = None
  max_bad_clients: int = 0

  def select(self, trains_clients: bool, promises: bool = False) -> list[str]:
    """Finds the devices; call it before TensorFlow computes anything.

    Args:
      trains_clients: Whether there will be rounds: cores are shared then.
      promises: Whether they will have a guarantee.

    Raises:
      UserError: If they are not there, or not for this executor, or the
        executor cannot keep a guarantee.
    """
    if self.executor == NATIVE:
      errors.require(
        not promises,
        "`executor=native` with a guarantee: TFF's own runtime ends a run when"
        ' the data of one client fail, which tells of that client. Take'
        ' `executor=device`, or `noise_multiplier=0`.',
      )
      errors.require(
        not self.devices,
        f"`devices={self.devices}` with `executor=native`: TFF's own runtime"
        ' takes the processor only.',
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
    """Lets TFF execute so; yields the runtime in use.

    Args:
      selected: What `select` returned.
      client_seconds: Audio of a client; those with the most are taken first.
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
        placement.Watch(_LOSS_KERNELS, _tell_loss_kernel)
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
  """A runtime that TFF executes in.

  Attributes:
    description: Its name and devices, in words.
    strictly: Context in which the first client that fails ends a round.
  """

  description: str
  strictly: Callable[[], contextlib.AbstractContextManager]


def _tell_loss_kernel(found: list[tuple[str, str]]) -> None:
  """Says which kernel computes the loss beside a GPU."""
  kernels = {operation for operation, _ in found}
  if _CUDNN_LOSS in kernels:
    print(f"cuDNN's kernel ({_CUDNN_LOSS}) computes the CTC loss.")
  if _CPU_LOSS in kernels or not kernels:
    logging.warning(
      "TensorFlow did not choose cuDNN's kernel of the CTC loss: the processor"
      ' computes it, and every step waits for two copies.'
    )
