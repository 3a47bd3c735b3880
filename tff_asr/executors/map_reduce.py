"""One round of MapReduce on the devices of this machine.

Every device has one or more slots.  Each slot has its own accumulator.  A slot
takes the next clients from the round's queue, trains one after the other and
adds their results to the slot's accumulator, until the queue is empty.  Then
the accumulators are merged.  At any time memory holds at most one client and
one accumulator for each slot, however many clients the round has.

A slot trains several clients in one call of TensorFlow if the computation's
argument at a client is small, such as a name.  If the call fails, the slot
calls again for each of these clients alone.
"""

import collections
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
  resources,
  values,
)

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_SEED_SHIFT = 7919  # Difference between the seeds of two devices.
_MOST_IN_A_CALL = 16  # So many small clients hide the cost of a call.
_SHARES = 4  # Of the remaining clients, for each slot: all end at once.


class ExecutionError(RuntimeError, grpc.RpcError):
  """A computation failed; the message names the stage and the client.

  This error is a `grpc.RpcError` because TFF's own runtime raises that class,
  and callers of the runtime catch it.
  """

  def code(self) -> grpc.StatusCode:
    """Returns the kind of failure as a status code of gRPC."""
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
    name: Name of the client in error messages.
    leaves: Returns the leaves of the client's data.
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
      form: The computation, without secure sums.
      devices: Names of the devices; the first does the server's work.
      clients_per_device: Number of clients that train at once on each device.
      watch: Operations whose devices are reported, once for each device.

    Raises:
      UnsupportedError: If a piece of the form cannot run on local devices.
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

    def finish(call, arguments):
      state, total = _split(arguments, len(server))
      return call(update, state + call(report, total))[len(server) :]

    self._trace_training(work, accumulate, [client, broadcast, accumulator])
    # Without rewrites, a round of `paper` takes a tenth more memory.
    self._finish = piece_function.PieceFunction(
      [report, update],
      server + reporting,
      finish,
      rewrites=piece_function.IN_ONE_PASS,
    )

  def _trace_training(self, work, accumulate, signature) -> None:
    """Traces the function that trains clients and adds up their results."""
    client, broadcast, accumulator = signature

    def train(call, arguments):
      given, sum_before = _split(arguments, len(client) + len(broadcast))
      return call(accumulate, sum_before + call(work, given))

    fixed_seeds = work.has_fixed_seeds or accumulate.has_fixed_seeds
    in_one_call = bool(client) and all(map(_is_small, client))
    # A second try would get other numbers from the streams of fixed seeds.
    self._most_in_a_call = (
      _MOST_IN_A_CALL if in_one_call and not fixed_seeds else 1
    )
    self._takes_rows = in_one_call
    self._draws = any(
      resources.draws(node.op)
      for piece in (work, accumulate)
      for node in piece.nodes()
    )
    # The first call with fixed seeds runs alone, and must draw from them.
    self._must_load = in_one_call and not fixed_seeds
    self._client = client
    functions = [
      piece_function.PieceFunction(
        [work, accumulate],
        client + broadcast + accumulator,
        train,
        seed_shift=i * _SEED_SHIFT,
        rows=len(client) if in_one_call else 0,
        rewrites=piece_function.IN_ONE_PASS,
      )
      for i in range(len(self._devices) if fixed_seeds else 1)
    ]
    self._train = {
      device: functions[i % len(functions)]
      for i, device in enumerate(self._devices)
    }

  def run(
    self,
    server: Sequence[tf.Tensor],
    clients: Sequence[Client],
    max_failed_clients: int | None = 0,
  ) -> list[tf.Tensor]:
    """Runs a round.

    Args:
      server: Leaves of the argument at the server.
      clients: Clients in the order in which they start.
      max_failed_clients: Number of clients that may fail.  Failed clients are
        left out with a warning that names them.  With `None` any number of
        clients may fail and no output reveals it; therefore no devices of
        operations are reported, either.

    Returns:
      Leaves of the results at the server.

    Raises:
      ExecutionError: If a stage fails, or if too many clients fail.
      TypeError: If a client's data have the wrong type, unless
        `max_failed_clients` is `None`.
    """
    with tf.device(self._devices[0]):
      with stage('prepare'):
        broadcast = self._prepare(server)
      if max_failed_clients is None:
        # A missing report would reveal that a client failed.
        self._to_watch.clear()
      most = self._most_in_a_call
      if max_failed_clients is None and self._draws:
        # One client's failure would let others draw once more: whether they
        # fail would depend on that client.
        most = 1
      queue = _Queue(clients, max_failed_clients, most)
      total = self._total(broadcast, queue, len(clients))
      del broadcast
      with stage('update'):
        return self._finish([*server, *total])

  def _total(self, broadcast, queue, clients: int) -> list[tf.Tensor]:
    """Trains all clients; returns the merged accumulator."""
    slots = [d for _ in range(self._clients_per_device) for d in self._devices]
    slots = slots[:clients]
    queue.share_between(len(slots))
    at_device = {}
    for device in dict.fromkeys(slots):
      with tf.device(device):
        at_device[device] = [tf.identity(tensor) for tensor in broadcast]
    if not slots:
      with stage('zero'):
        return self._zero([])
    if self._must_load:
      self._load(at_device)
      self._must_load = False
    running = [
      interruption.start(self._run_slot, device, at_device[device], queue)
      for device in slots
    ]
    try:
      accumulators = [slot.result() for slot in running]
    finally:
      # After a failure, the other slots take no more clients, and end soon.
      queue.close()
      futures.wait(running)
    accumulators = [a for a in accumulators if a is not None]
    total = accumulators.pop(0)
    while accumulators:
      with stage('merge'):
        total = self._merge([*total, *accumulators.pop(0)])
    return total

  def _load(self, at_device) -> None:
    """Calls the training for no client on each device, all at once.

    The first call prepares the function for the device.  If the slots of a
    device made their first calls at once, each would do this work.
    """

    def load(device):
      with tf.device(device), self._train[device].variables() as variables:
        none = [tf.zeros([0], spec.dtype) for spec in self._client]
        arguments = [*none, *at_device[device], *self._zero([])]
        with placement.watched(self._to_watch.pop(device, None)):
          self._train[device](arguments, variables)

    with stage('load'):
      loading = [interruption.start(load, device) for device in at_device]
      futures.wait(loading)
      for loaded in loading:
        loaded.result()

  def _run_slot(self, device, broadcast, queue) -> list[tf.Tensor]:
    """Trains clients until the queue is empty; returns the slot's accumulator.

    The result is `None` if the queue had no client for this slot.
    """
    accumulator = None
    try:
      with tf.device(device), self._train[device].variables() as variables:

        def add(clients):
          leaves = [client.leaves() for client in clients]
          if self._takes_rows:
            with tf.device('/CPU:0'):
              leaves = [tf.stack(rows) for rows in zip(*leaves, strict=True)]
          else:
            (leaves,) = leaves
          arguments = [*leaves, *broadcast, *accumulator]
          return self._train[device](arguments, variables)

        for clients in queue:
          if accumulator is None:
            with stage('zero'):
              accumulator = self._zero([])
          watch = self._to_watch.pop(device, None)
          if len(clients) > 1:
            names = ', '.join(client.name for client in clients)
            try:
              with stage('work', names), placement.watched(watch):
                accumulator = add(clients)
              continue
            except (ExecutionError, TypeError):
              pass  # One of the clients fails: each trains alone.
          for client in clients:
            with (
              queue.failures(),
              stage('work', client.name),
              placement.watched(watch),
            ):
              accumulator = add([client])
            watch = None
    finally:
      queue.close()  # If this slot fails, the other slots need not continue.
    return accumulator


def _is_small(spec: tf.TensorSpec) -> bool:
  """Returns whether many values of a spec fit into memory, one copy of each."""
  return spec.shape.rank == 0 and spec.dtype != tf.variant


class _Queue:
  """A queue of clients that yields each client once and counts failures."""

  def __init__(
    self, clients: Sequence[Client], max_failures: int | None, most: int
  ):
    """Creates the queue.

    Args:
      clients: The clients, in order.
      max_failures: Number of clients that may fail, or `None` for any number.
      most: Most clients that are yielded at once.
    """
    self._clients = collections.deque(clients)
    self._failures_left = max_failures
    self._most = most
    self._shares = 1
    self._lock = threading.Lock()

  def share_between(self, slots: int) -> None:
    """Sets the number of slots, which shall end at about the same time."""
    self._shares = _SHARES * max(slots, 1)

  def __iter__(self) -> Iterator[list[Client]]:
    while True:
      with self._lock:
        number = min(self._most, -(-len(self._clients) // self._shares))
        clients = [self._clients.popleft() for _ in range(number)]
      if not clients:
        return
      yield clients

  @contextlib.contextmanager
  def failures(self) -> Iterator[None]:
    """Suppresses a client's error while at most `max_failures` have failed."""
    try:
      yield
    except (ExecutionError, TypeError) as error:
      if self._failures_left is None:
        return
      if isinstance(error, TypeError):  # The caller's mistake, not bad data.
        raise
      with self._lock:
        self._failures_left -= 1
        if self._failures_left < 0:
          raise
      logging.warning('A client is left out of the round. %s', error)

  def close(self) -> None:
    """Removes the remaining clients."""
    with self._lock:
      self._clients.clear()


def _split(tensors, count):
  return tensors[:count], tensors[count:]


@contextlib.contextmanager
def stage(name: str, client: str | None = None) -> Iterator[None]:
  """Names the stage in profiles, and the stage and the client in errors."""
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
