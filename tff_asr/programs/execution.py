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
      `native` knows of no such thing.
  """

  executor: str = DEVICE
  devices: str = ''
  clients_per_device: int | None = None
  max_bad_clients: int = 0

  def select(self, trains_clients: bool) -> list[str]:
    """Finds the devices; call it before TensorFlow computes anything.

    Args:
      trains_clients: Whether there will be rounds: cores are shared then.

    Raises:
      UserError: If they are not there, or not for this executor.
    """
    if self.executor == NATIVE:
      errors.require(
        not self.devices,
        f"--devices={self.devices} with --executor=native: TFF's own runtime"
        ' takes the processor only.',
      )
      return ['/CPU:0']
    selected = devices.select(self.devices)
    if trains_clients:
      devices.share_cores(selected, self.clients_per_device)
    return selected

  @contextlib.contextmanager
  def running(
    self, selected: list[str], client_seconds: Callable[[str], float]
  ) -> Iterator[str]:
    """Lets TFF execute so; yields what is in use, in words.

    Args:
      selected: What `select` returned.
      client_seconds: Audio of a client; those with the most are taken first.
    """
    if self.executor == NATIVE:
      worker = native.set_native_context(self.clients_per_device)
      try:
        yield f"TFF's own runtime, {devices.describe(selected)}"
      finally:
        worker.stop()
      return
    runtime = context.set_local_device_context(
      selected,
      self.clients_per_device,
      client_size=client_seconds,
      watch=(
        placement.Watch(_LOSS_KERNELS, _tell_loss_kernel)
        if devices.any_gpu(selected)
        else None
      ),
      max_failed_clients=self.max_bad_clients,
    )
    try:
      yield str(runtime)
    finally:
      runtime.close()


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
