"""One round of MapReduce on the devices of this machine.

Every device has one or more slots.  A slot takes the next client from the
round's queue, trains it, adds its result to an accumulator of its own, and so
on; the accumulators are merged when the queue is empty.  No more is held at a
time than one client and one accumulator for each slot, however many clients
there are.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
import contextlib
import dataclasses
import threading

from absl import logging
import grpc
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import errors
from tff_asr.executors import (
  graph_piece,
  interruption,
  piece_function,
  placement,
  values,
)

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_SEED_SHIFT = 7919  # Between the seeds of two devices.


class ExecutionError(RuntimeError, grpc.RpcError):
  """A computation failed; says in which stage, and for which client.

  TFF's own runtime raises `grpc.RpcError`, so its callers catch that.
  """

  def code(self) -> grpc.StatusCode:
    """Returns the kind of failure, as gRPC has it."""
    cause = self.__cause__
    found = cause.error_code if isinstance(cause, tf.errors.OpError) else None
    return _CODES.get(found, grpc.StatusCode.UNKNOWN)

  def details(self) -> str:
    """Returns the message."""
    return str(self)


@dataclasses.dataclass(frozen=True)
class Client:
  """A client of a round.

  Attributes:
    name: What errors call it.
    leaves: Returns the client's data, as leaves.
  """

  name: str
  leaves: Callable[[], list[tf.Tensor]]


class MapReduce:
  """A computation in TFF's MapReduce form, ready to run."""

  def __init__(
    self,
    form: tff.backends.mapreduce.MapReduceForm,
    devices: Sequence[str],
    clients_per_device: int,
    watch: placement.Watch | None = None,
  ):
    """Traces the computation's functions.

    Args:
      form: Without secure sums.
      devices: Names of the devices; the first does the server's work.
      clients_per_device: Number of clients that train at once on each.
      watch: Operations whose devices are reported, once for each device.

    Raises:
      UnsupportedError: If a piece cannot run here.
    """
    self._devices = devices
    self._clients_per_device = clients_per_device
    self._to_watch = dict.fromkeys(devices, watch)
    piece = graph_piece.GraphPiece
    server = values.specs(form.prepare.type_signature.parameter)
    client, broadcast = form.work.type_signature.parameter
    client, broadcast = values.specs(client), values.specs(broadcast)
    accumulator = values.specs(form.accumulate.type_signature.parameter[0])
    merging = values.specs(form.merge.type_signature.parameter)
    reporting = values.specs(form.report.type_signature.parameter)
    accumulate, work = piece(form.accumulate), piece(form.work)
    report, update = piece(form.report), piece(form.update)
    self._prepare = piece_function.single(piece(form.prepare), server)
    self._zero = piece_function.single(piece(form.zero), [])
    self._merge = piece_function.single(piece(form.merge), merging)

    def train(call, arguments):
      given, sum_before = _split(arguments, len(client) + len(broadcast))
      return call(accumulate, sum_before + call(work, given))

    def finish(call, arguments):
      state, total = _split(arguments, len(server))
      return call(update, state + call(report, total))[len(server) :]

    fixed_seeds = work.has_fixed_seeds or accumulate.has_fixed_seeds
    functions = [
      piece_function.PieceFunction(
        [work, accumulate],
        client + broadcast + accumulator,
        train,
        seed_shift=i * _SEED_SHIFT,
      )
      for i in range(len(devices) if fixed_seeds else 1)
    ]
    self._train = {
      device: functions[i % len(functions)] for i, device in enumerate(devices)
    }
    self._finish = piece_function.PieceFunction(
      [report, update], server + reporting, finish
    )

  def run(
    self,
    server: Sequence[tf.Tensor],
    clients: Sequence[Client],
    max_failed_clients: int | None = 0,
  ) -> list[tf.Tensor]:
    """Runs a round.

    Args:
      server: Leaves of what lies at the server.
      clients: In the order in which they are taken.
      max_failed_clients: So many may fail, and are left out with a warning that
        names them.  With `None` any number may, and nothing tells of it: no
        operations are reported, either.

    Returns:
      Leaves of the results at the server.

    Raises:
      ExecutionError: If a stage fails, or too many clients.
      TypeError: If a client's data are of another type.
    """
    with tf.device(self._devices[0]):
      with _stage('prepare'):
        broadcast = self._prepare(server)
      if max_failed_clients is None:
        self._to_watch.clear()  # A client that fails would report nothing.
      queue = _Queue(clients, max_failed_clients)
      total = self._total(broadcast, queue, len(clients))
      del broadcast
      with _stage('update'):
        return self._finish([*server, *total])

  def _total(self, broadcast, queue, clients: int) -> list[tf.Tensor]:
    """Trains all clients; returns the merged accumulator."""
    slots = [d for _ in range(self._clients_per_device) for d in self._devices]
    slots = slots[:clients]
    at_device = {}
    for device in dict.fromkeys(slots):
      with tf.device(device):
        at_device[device] = [tf.identity(tensor) for tensor in broadcast]
    if not slots:
      with _stage('zero'):
        return self._zero([])
    running = [
      interruption.start(self._run_slot, device, at_device[device], queue)
      for device in slots
    ]
    try:
      accumulators = [slot.result() for slot in running]
    finally:
      queue.close()  # If one has failed: before all others are waited for.
      futures.wait(running)
    accumulators = [a for a in accumulators if a is not None]
    total = accumulators.pop(0)
    while accumulators:
      with _stage('merge'):
        total = self._merge([*total, *accumulators.pop(0)])
    return total

  def _run_slot(self, device, broadcast, queue) -> list[tf.Tensor]:
    """Trains clients until there are none; returns their accumulator."""
    train = self._train[device]
    accumulator = None
    try:
      with tf.device(device), train.variables() as variables:
        for client in queue:
          if accumulator is None:
            with _stage('zero'):
              accumulator = self._zero([])
          watch = self._to_watch.pop(device, None)
          with (
            queue.failures(),
            _stage('work', client.name),
            placement.watched(watch),
          ):
            accumulator = train(
              [*client.leaves(), *broadcast, *accumulator], variables
            )
    finally:
      queue.close()  # If this slot fails, the others need not go on.
    return accumulator


class _Queue:
  """Clients, each of which is handed out once; some of them may fail."""

  def __init__(self, clients: Sequence[Client], max_failures: int | None):
    self._clients = iter(clients)
    self._failures_left = max_failures
    self._lock = threading.Lock()

  def __iter__(self) -> Iterator[Client]:
    while True:
      with self._lock:
        client = next(self._clients, None)
      if client is None:
        return
      yield client

  @contextlib.contextmanager
  def failures(self) -> Iterator[None]:
    """Lets a client fail, as long as not too many have."""
    try:
      yield
    except (ExecutionError, TypeError) as error:
      if self._failures_left is None:
        return
      if isinstance(error, TypeError):  # Of the caller, not of the data.
        raise
      with self._lock:
        self._failures_left -= 1
        if self._failures_left < 0:
          raise
      logging.warning('A client is left out of the round. %s', error)

  def close(self) -> None:
    """Hands out no more."""
    with self._lock:
      self._clients = iter(())


def _split(tensors, count):
  return tensors[:count], tensors[count:]


@contextlib.contextmanager
def _stage(name: str, client: str | None = None):
  """Names the stage in profiles, and in errors with the client."""
  with tf.profiler.experimental.Trace(name):
    try:
      yield
    except Exception as error:
      where = f'{name!r} of a federated computation'
      if client is not None:
        where += f' for client {client}'
      kind = TypeError if isinstance(error, TypeError) else ExecutionError
      reason = errors.in_a_line(error)
      if isinstance(error, UnicodeDecodeError):  # TensorFlow quoted the data.
        reason = error.object.decode(errors='replace').splitlines()[0]
      raise kind(f'Failed in {where}: {reason}') from error
