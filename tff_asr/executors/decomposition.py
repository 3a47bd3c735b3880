"""Decomposition of any computation into one MapReduce round of TensorFlow.

TFF decomposes a computation of the form (state at the server, data of clients)
-> (state, output) into pieces (`tff.backends.mapreduce.MapReduceForm`).  This
module first brings other computations into that form: the arguments at the
server become the state, and the results become the output.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import compat
from tff_asr.executors import graph_piece, server_draws

# TensorFlow optimises the graphs later, when they run.
_NO_GRAPPLER = tf.compat.v1.ConfigProto()
_NO_GRAPPLER.graph_options.rewrite_options.disable_meta_optimizer = True


def leaves(value: Any, type_spec: tff.Type | None) -> Iterator[tuple]:
  """Yields the placed parts of a structure, each with its type."""
  if isinstance(type_spec, tff.StructType):
    if isinstance(value, compat.Value):  # While TFF traces a computation.
      elements = [value[i] for i in range(len(type_spec))]
    else:
      elements = tff.structure.from_container(value)
    for element, element_type in zip(elements, type_spec, strict=True):
      yield from leaves(element, element_type)
  elif type_spec is not None:
    yield value, type_spec


def placed_types(type_spec: tff.Type | None) -> list[tff.Type]:
  """Returns the types of the placed parts of a structure, in order."""
  if isinstance(type_spec, tff.StructType):
    return [t for element in type_spec for t in placed_types(element)]
  return [] if type_spec is None else [type_spec]


def is_at_clients(type_spec: tff.Type) -> bool:
  """Returns whether a type's values are at clients and differ between them."""
  return (
    isinstance(type_spec, tff.FederatedType)
    and type_spec.placement is compat.CLIENTS
    and not type_spec.all_equal
  )


def is_local(type_spec: tff.FunctionType) -> bool:
  """Returns whether the type of a computation has no placements."""
  return not tff.types.contains(
    type_spec, lambda t: isinstance(t, tff.FederatedType)
  )


def is_tensorflow(computation: tff.framework.ConcreteComputation) -> bool:
  """Returns whether a computation is a single TensorFlow graph."""
  proto = tff.framework.serialize_computation(computation)
  return proto.WhichOneof('computation') == 'tensorflow'


def nothing() -> list[tf.Tensor]:
  """Returns the placeholder for an absent argument (server or clients)."""
  return [tf.constant(0, tf.int32)]


def at_server(
  local: tff.framework.ConcreteComputation,
) -> tff.framework.ConcreteComputation:
  """Returns a local computation that is applied to values at the server.

  Raises:
    UnsupportedError: If a function is among the computation's arguments.
  """
  parameter = local.type_signature.parameter
  if parameter is None:

    @tff.federated_computation
    def placed():
      return tff.federated_eval(local, tff.SERVER)

    return placed

  if tff.types.contains(parameter, lambda t: isinstance(t, tff.FunctionType)):
    raise graph_piece.UnsupportedError('it takes a function')

  @tff.federated_computation(tff.FederatedType(parameter, tff.SERVER))
  def placed_map(argument):
    return compat.federated_map(local, argument)

  return placed_map


def without_clients(
  computation: tff.framework.ConcreteComputation,
) -> tff.framework.ConcreteComputation | None:
  """Returns a computation at the server alone as a single TensorFlow graph.

  The argument of the result is the list of the values at the server, in the
  order of `placed_types`.  The result is the list of the computation's results.

  Returns:
    `None` if the computation involves clients or computes nothing.
  """
  type_spec = computation.type_signature
  found = [
    *placed_types(type_spec.parameter),
    *placed_types(type_spec.result),
  ]
  if not all(map(_is_at_server, found)):
    return None
  if not placed_types(type_spec.result) or server_draws.involves_clients(
    computation.to_building_block()
  ):
    return None
  try:
    graph = tff.backends.mapreduce.consolidate_and_extract_local_processing(
      _server_form(computation).to_building_block(), _NO_GRAPPLER
    )
  except (ValueError, TypeError):
    return None  # `decompose` tells why.
  return tff.framework.ConcreteComputation.from_building_block(graph)


def decompose(
  computation: tff.framework.ConcreteComputation,
) -> list[tff.backends.mapreduce.MapReduceForm]:
  """Decomposes a computation that is not local.

  Secure sums are computed in the clear, with the same modular arithmetic and
  the same checks of bounds.

  Returns:
    One or two MapReduce forms.  The first argument of a form holds the values
    at the server, in the order of `placed_types`; the second argument holds the
    values at clients.  A number stands for an absent argument.  The second
    result of the form holds the computation's results.  If there are two forms,
    the first argument of the second form ends with the results of the first
    form.

  Raises:
    UnsupportedError: If the computation cannot be decomposed; says why.
  """
  _check_placements(computation.type_signature)
  try:
    standard = _standard_form(
      tff.backends.test.replace_secure_intrinsics_with_bodies(computation)
    )
    *first, rest = server_draws.split(standard)
    return [
      tff.backends.mapreduce.get_map_reduce_form_for_computation(
        part, _NO_GRAPPLER
      )
      for part in [*map(_standard_form, first), rest]
    ]
  except (ValueError, TypeError) as error:
    # After the reason, TFF quotes the whole computation.
    reason = str(error).partition('\n')[0]
    raise graph_piece.UnsupportedError(f'{reason:.300}') from error


def _check_placements(type_spec: tff.FunctionType) -> None:
  for found in placed_types(type_spec.parameter):
    if not is_at_clients(found) and not _is_at_server(found):
      raise graph_piece.UnsupportedError(
        f'it takes an argument of type {found}, which is neither at the server'
        ' nor a separate value for each client'
      )
  for found in placed_types(type_spec.result):
    if not _is_at_server(found):
      raise graph_piece.UnsupportedError(
        f'it returns a result of type {found}, which is not at the server'
      )


def _is_at_server(type_spec: tff.Type) -> bool:
  return (
    isinstance(type_spec, tff.FederatedType)
    and type_spec.placement is tff.SERVER
  )


def _standard_form(computation):
  type_spec = computation.type_signature
  found = placed_types(type_spec.parameter)
  server = [t.member for t in found if not is_at_clients(t)]
  clients = [t.member for t in found if is_at_clients(t)]

  @tff.federated_computation(
    tff.FederatedType(server or [np.int32], tff.SERVER),
    tff.FederatedType(clients or [np.int32], compat.CLIENTS),
  )
  def standard(at_server, at_clients):
    servers, of_clients = (
      iter([value[i] for i in range(len(types))])
      for value, types in ((at_server, server), (at_clients, clients))
    )
    results = _results(
      computation,
      lambda part: next(of_clients if is_at_clients(part) else servers),
    )
    return at_server, tff.federated_zip(results)

  return standard


def _server_form(computation):
  """Returns a computation from values at the server to its zipped results."""
  types = [t.member for t in placed_types(computation.type_signature.parameter)]

  if not types:

    @tff.federated_computation
    def alone():
      return tff.federated_zip(_results(computation, None))

    return alone

  @tff.federated_computation(tff.FederatedType(types, tff.SERVER))
  def at_server_alone(at_server):
    values = iter([at_server[i] for i in range(len(types))])
    return tff.federated_zip(_results(computation, lambda part: next(values)))

  return at_server_alone


def _results(computation, take) -> list[compat.Value]:
  """Returns the placed results of a call, while TFF traces a computation.

  Args:
    computation: The called computation.
    take: Returns the next argument, given its type.
  """
  type_spec = computation.type_signature

  def argument(part):
    if isinstance(part, tff.StructType):
      return tff.structure.Struct(
        (name, argument(element))
        for name, element in tff.structure.iter_elements(part)
      )
    return take(part)

  if type_spec.parameter is None:
    result = computation()
  elif isinstance(type_spec.parameter, tff.StructType):
    elements = tff.structure.to_elements(argument(type_spec.parameter))
    result = computation(
      *(element for name, element in elements if name is None),
      **{name: element for name, element in elements if name is not None},
    )
  else:
    result = computation(argument(type_spec.parameter))
  return [leaf for leaf, _ in leaves(result, type_spec.result)]
