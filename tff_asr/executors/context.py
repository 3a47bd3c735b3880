"""TFF's execution context on the devices of this machine.

TFF's own runtime is another process.  It computes on CPUs only and holds
several copies of the model for each client of a round.  This context decomposes
a computation into the MapReduce form and runs the pieces as TensorFlow
functions in this process.
"""

import asyncio
from collections.abc import Callable, Sequence
import os
import threading
from typing import Any
import weakref

from absl import logging
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import counts, errors
from tff_asr.executors import (
  decomposition,
  graph_piece,
  interruption,
  map_reduce,
  native,
  piece_function,
  placement,
  type_cache,
  values,
)
from tff_asr.executors import devices as devices_lib

type_cache.install()

# From a client's value in a computation's argument to the client's work, in any
# unit.
ClientSize = Callable[[Any], float]
_Executable = Callable[[Any], Any]


# Environment variable: the least severity that TensorFlow logs; 3 logs nothing.
_LOG_LEVEL = 'TF_CPP_MIN_LOG_LEVEL'


def check_tensorflow_is_silent() -> None:
  """Checks that TensorFlow does not log the failures of clients.

  TensorFlow's log has the time, the error and often the client's data.

  Raises:
    UserError: If the environment lets TensorFlow log.  TensorFlow reads the
      variable once, when it is imported.
  """
  level = os.environ.get(_LOG_LEVEL, '0')
  errors.require(
    level.isdecimal() and int(level) >= 3,
    f'TensorFlow logs which clients fail while {_LOG_LEVEL} is {level}, and a'
    f' guarantee forbids this. Set {_LOG_LEVEL}=3 in the environment; in a'
    ' program, before TensorFlow is imported.',
  )


class LocalDeviceContext(tff.framework.SyncContext):
  """Runs TFF's computations on local devices; see `set_local_device_context`.

  Attributes:
    devices: Names of the devices; the first does the server's work.
    clients_per_device: Number of clients that train at once on each device.
    max_failed_clients: Number of clients that may fail in a round.  `None`
      allows any number of failures, and no output reveals them.
  """

  def __init__(
    self,
    devices: Sequence[str] | None = None,
    clients_per_device: int | None = None,
    *,
    client_size: ClientSize | None = None,
    allow_native: bool = True,
    watch: placement.Watch | None = None,
    max_failed_clients: int | None = 0,
    default_num_clients: int = 0,
  ):
    """Creates the context; see `set_local_device_context` for the arguments."""
    if max_failed_clients is None:
      check_tensorflow_is_silent()
    if not devices:
      devices = devices_lib.select()
      devices_lib.share_cores(devices, clients_per_device)
    self.devices = list(devices)
    devices_lib.check_exist(self.devices)
    if clients_per_device is None:
      clients_per_device = devices_lib.default_clients_per_device(self.devices)
    if clients_per_device < 1:
      raise ValueError(
        f'`clients_per_device={clients_per_device}` must be at least 1.'
      )
    self.clients_per_device = clients_per_device
    self._client_size = client_size
    self._allow_native = allow_native
    self._watch = watch
    self.max_failed_clients = max_failed_clients
    if default_num_clients < 0:
      raise ValueError(
        f'`default_num_clients={default_num_clients}` must not be negative.'
      )
    self._default_num_clients = default_num_clients
    self._executables: dict[int, _Executable] = {}
    self._lock = threading.RLock()

  def __str__(self) -> str:
    clients = counts.text(self.clients_per_device, 'client')
    return f'{devices_lib.describe(self.devices)}, {clients} at a time on each'

  def invoke(self, comp: tff.framework.ConcreteComputation, arg: Any) -> Any:
    """Runs a computation.

    Raises:
      ExecutionError: If the computation fails; names the stage and the client.
      TypeError: If the argument is not of the computation's type.
      UnsupportedError: If the computation cannot run on local devices and
        may not run in TFF's own runtime.
    """
    with self._lock:
      return self._executable(comp)(arg)

  def close(self) -> None:
    """Ends the process of TFF's own runtime, if no other context needs it."""
    native.shared.release(self)

  def _executable(self, comp) -> _Executable:
    """Returns the executable of a computation, which is built once.

    The context keeps the executable as long as the computation lives.  The
    executable must not keep the computation alive.
    """
    key = id(comp)
    if key not in self._executables:
      try:
        self._executables[key] = self._on_devices(comp)
      except graph_piece.UnsupportedError as error:
        self._executables[key] = self._elsewhere(comp, error)
      weakref.finalize(comp, _forget, weakref.ref(self), key).atexit = False
    return self._executables[key]

  def _on_devices(self, comp) -> _Executable:
    result = comp.type_signature.result
    if decomposition.is_tensorflow(comp):
      return self._tensorflow(comp)
    if decomposition.is_local(comp.type_signature):
      comp = decomposition.at_server(comp)
    parameter = comp.type_signature.parameter
    graph = decomposition.without_clients(comp)
    if graph is not None:
      return self._at_server(graph, parameter, result)
    *first, rest = (
      map_reduce.MapReduce(
        form, self.devices, self.clients_per_device, self._watch
      )
      for form in decomposition.decompose(comp)
    )

    def compute(server, clients):
      for at_server in first:
        server = [*server, *at_server.run(server, [])]
      return rest.run(server, clients, self.max_failed_clients)

    def execute(arg):
      at_server, clients = self._arguments(arg, parameter)
      return values.pack(interruption.run(compute, at_server, clients), result)

    return execute

  def _tensorflow(self, comp) -> _Executable:
    type_spec = comp.type_signature
    piece = graph_piece.GraphPiece(comp)
    function = piece_function.single(
      piece,
      values.specs(type_spec.parameter),
      piece_function.IN_ONE_PASS,  # A program may call it many times.
    )

    def compute(arguments):
      with tf.device(self.devices[0]):
        return function(arguments)

    def execute(arg):
      parameter = type_spec.parameter
      arguments = [] if parameter is None else values.flatten(arg, parameter)
      return values.pack(interruption.run(compute, arguments), type_spec.result)

    return execute

  def _at_server(self, graph, parameter, result) -> _Executable:
    """Returns the executable of a computation that involves no clients."""
    signature = values.specs(parameter)
    function = piece_function.single(graph_piece.GraphPiece(graph), signature)

    def compute(server):
      with tf.device(self.devices[0]), map_reduce.stage('update'):
        return function(server)

    def execute(arg):
      server, _ = self._arguments(arg, parameter)
      return values.pack(
        interruption.run(compute, server if signature else []), result
      )

    return execute

  def _elsewhere(self, comp, error) -> _Executable:
    why = (
      f'The computation of type {comp.type_signature.compact_representation()}'
      f' cannot run on local devices: {error}.'
    )
    if not self._allow_native:
      raise graph_piece.UnsupportedError(why) from error
    logging.warning("%s TFF's own runtime runs it instead.", why)
    has_clients = tff.types.contains(
      comp.type_signature, decomposition.is_at_clients
    )
    alive = weakref.ref(comp)
    worker = context = None

    def execute(arg):
      nonlocal worker, context
      if has_clients and self.max_failed_clients is None:
        raise graph_piece.UnsupportedError(
          f"{why} TFF's own runtime would reveal which client fails."
        )
      before, worker = worker, native.shared.get(self)
      if worker is not before:
        context = native.create_context(worker, self._default_num_clients)
      return context.invoke(alive(), arg)

    return execute

  def _arguments(
    self, arg, type_spec
  ) -> tuple[list[tf.Tensor], list[map_reduce.Client]]:
    """Returns the leaves of the server's arguments, and the clients."""
    server, of_clients, types = [], [], []
    is_any_at_server = False
    for value, found in decomposition.leaves(arg, type_spec):
      if not decomposition.is_at_clients(found):
        is_any_at_server = True
        server += values.flatten(value, found)
        continue
      if not isinstance(value, list | tuple):
        raise TypeError(
          f'Expected a list with a value for each client, got {type(value)}.'
        )
      of_clients.append(value)
      types.append(found.member)
    if len({len(value) for value in of_clients}) > 1:
      raise ValueError(
        'The arguments have different numbers of clients: '
        f'{", ".join(str(len(value)) for value in of_clients)}.'
      )
    clients = list(zip(*of_clients, strict=True))
    if not of_clients:
      clients = [()] * self._default_num_clients
    sizes = [0.0] * len(clients)
    if self._client_size and len(of_clients) == 1:
      sizes = [self._client_size(value) for (value,) in clients]
    numbers = sorted(range(len(clients)), key=lambda i: -sizes[i])
    if not is_any_at_server:
      server = decomposition.nothing()
    return server, [_client(i, clients[i], types) for i in numbers]


def _forget(alive: weakref.ref, key: int) -> None:
  """Drops the executable of a deleted computation from a context that lives."""
  context = alive()
  if context is not None:
    context._executables.pop(key, None)


def _client(number, client_values, types) -> map_reduce.Client:
  name = f'number {number}'
  for value in client_values:
    if isinstance(value, str | bytes):
      name += f' ({value!r})'

  def leaves():
    if not types:
      return decomposition.nothing()
    return [
      leaf
      for value, type_spec in zip(client_values, types, strict=True)
      for leaf in values.flatten(value, type_spec)
    ]

  return map_reduce.Client(name, leaves)


class AsyncLocalDeviceContext(tff.framework.AsyncContext):
  """Asynchronous `LocalDeviceContext`.

  `tff.program.NativeFederatedContext` takes it.
  """

  def __init__(self, context: LocalDeviceContext):
    self._context = context

  async def invoke(
    self, comp: tff.framework.ConcreteComputation, arg: Any
  ) -> Any:
    """Runs a computation in a thread; see `LocalDeviceContext.invoke`.

    An argument that is a coroutine is awaited first.
    """
    if asyncio.iscoroutine(arg):
      arg = await arg
    return await interruption.run_async(self._context.invoke, comp, arg)


def set_local_device_context(
  devices: Sequence[str] | None = None,
  clients_per_device: int | None = None,
  *,
  client_size: ClientSize | None = None,
  allow_native: bool = True,
  watch: placement.Watch | None = None,
  max_failed_clients: int | None = 0,
  default_num_clients: int = 0,
) -> LocalDeviceContext:
  """Makes TFF execute on devices of this machine; returns the context.

  Args:
    devices: Names that `devices.select` returned.  By default the context
      selects the devices itself and divides the cores between them
      (`devices.share_cores`).
    clients_per_device: Number of clients that train at once on each device;
      each holds its own copy of the model and its own sum.  By default the
      value of `devices.default_clients_per_device`.
    client_size: Returns the work of a client, in any unit, from the client's
      value in the argument.  Larger clients start first, so that the devices
      finish at about the same time.  By default clients run in the given order.
    allow_native: Whether TFF's own runtime runs a computation that cannot be
      decomposed.  The runtime is a process that starts when needed.  Otherwise
      such a computation is refused.
    watch: Operations whose devices are reported when a client runs for the
      first time, once for each device.
    max_failed_clients: Number of clients that may fail in a round.  The round
      leaves failed clients out, with a warning that names them.  By default the
      first failure ends the round.  With `None` any number of clients may fail
      and no output reveals it, because the names of failed clients are private;
      a failed client counts as if the client did not exist.
    default_num_clients: Number of clients for a computation that takes no
      argument at clients, as in TFF's own context.

  Raises:
    UserError: If `max_failed_clients` is `None` and TensorFlow's log is on.
    ValueError: If a device does not exist, or a number is out of its range.
  """
  context = LocalDeviceContext(
    devices,
    clients_per_device,
    client_size=client_size,
    allow_native=allow_native,
    watch=watch,
    max_failed_clients=max_failed_clients,
    default_num_clients=default_num_clients,
  )
  tff.framework.set_default_context(context)
  return context
