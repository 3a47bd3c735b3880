"""Random values at the server, each drawn only once.

TFF's MapReduce form passes no value from the server's computation before the
clients to its computation after them.  A value that both need is computed
twice.  If it is random, the two results would differ.  This module computes
such values first and makes them arguments of the rest of the computation.
"""

from collections.abc import Iterator

import tensorflow_federated as tff

from tff_asr import compat
from tff_asr.executors import graph_piece, graphs, resources

_Block = tff.framework.ComputationBuildingBlock


class UnplacedDrawError(ValueError):
  """A random value without a placement is drawn for clients."""


def split(
  computation: tff.framework.ConcreteComputation,
) -> tuple[tff.framework.ConcreteComputation, ...]:
  """Splits the draws of broadcast random values off a computation.

  Args:
    computation: A computation with two arguments, a value at the server and a
      value at the clients.  Its results are its first argument and values at
      the server.

  Returns:
    Only the given computation if it broadcasts no random values.  Otherwise two
    computations: the first computes the random values from the value at the
    server; the second is like the given computation, but its argument at the
    server is the pair of the value at the server and the random values.

  Raises:
    UnplacedDrawError: If clients get a random value without a placement.
  """
  whole = tff.framework.to_call_dominant(computation.to_building_block())
  body = whole.result
  if not isinstance(body, tff.framework.Block):
    return (computation,)
  before, drawn = _before_clients(body.locals)
  after = [local for local in body.locals if local[0] not in before]
  placed = {
    name: isinstance(value.type_signature, tff.FederatedType)
    for name, value in body.locals
  }
  broadcast = set()
  for _, value in after:
    used = _references(value) & drawn
    if not all(placed[name] for name in used):
      raise UnplacedDrawError(
        'it draws a random value at no place for clients or for their sum; draw'
        ' the value at the server with tff.federated_eval'
      )
    if _is_at_clients(value):
      broadcast |= used
  if not broadcast:
    return (computation,)
  rest = [local for local in body.locals if local[0] not in drawn]
  used = _references(body.result).union(*(_references(v) for _, v in rest))
  taken = [
    tff.framework.Reference(name, value.type_signature)
    for name, value in body.locals
    if name in used & drawn
  ]
  first = _only_at_server(
    whole, [local for local in body.locals if local[0] in before], taken
  )
  return first, _with_arguments(whole, rest, taken)


def involves_clients(block: _Block) -> bool:
  """Returns whether a part of a computation is placed at clients."""
  return any(map(_is_at_clients, _parts(block)))


def _before_clients(values) -> tuple[set[str], set[str]]:
  """Returns the values that need no client, and the random ones, by name."""
  before, drawn = set(), set()
  for name, value in values:
    references = _references(value) & {n for n, _ in values}
    if references <= before and not any(map(_is_at_clients, _parts(value))):
      before.add(name)
      if references & drawn or any(map(_draws, _parts(value))):
        drawn.add(name)
  return before, drawn


def _parts(block: _Block) -> Iterator[_Block]:
  yield block
  for child in block.children():
    yield from _parts(child)


def _references(block: _Block) -> set[str]:
  return {
    part.name
    for part in _parts(block)
    if isinstance(part, tff.framework.Reference)
  }


def _is_at_clients(block: _Block) -> bool:
  found = block.type_signature
  if isinstance(block, tff.framework.Intrinsic):
    found = found.result
  return (
    isinstance(found, tff.FederatedType) and found.placement is compat.CLIENTS
  )


def _draws(block: _Block) -> bool:
  """Returns whether a part of a computation is a random TensorFlow graph."""
  if not isinstance(block, tff.framework.CompiledComputation):
    return False
  graph, _ = graph_piece.needed_graph(block.proto.tensorflow)
  return any(resources.draws(node.op) for node in graphs.all_nodes(graph))


def _only_at_server(whole, values, results):
  """Returns a computation of `results` from the value at the server alone."""
  names = tff.framework.unique_name_generator(whole)
  server = whole.parameter_type[0]
  argument = tff.framework.Reference(next(names), server)

  def replace(part):
    if (
      isinstance(part, tff.framework.Selection)
      and isinstance(part.source, tff.framework.Reference)
      and part.source.name == whole.parameter_name
    ):
      return argument, True
    return part, False

  return _computation(
    argument,
    [
      (name, tff.framework.transform_postorder(value, replace)[0])
      for name, value in values
    ],
    tff.framework.Struct(results),
  )


def _with_arguments(whole, values, taken):
  """Returns the computation with the values `taken` as arguments."""
  names = tff.framework.unique_name_generator(whole)
  before = whole.parameter_type
  argument = tff.framework.Reference(
    next(names), tff.StructType([*before, *(t.type_signature for t in taken)])
  )

  def select(i):
    return tff.framework.Selection(argument, index=i)

  given = tff.framework.Struct(
    (name, select(i))
    for i, (name, _) in enumerate(tff.structure.iter_elements(before))
  )
  arguments = [(whole.parameter_name, given)] + [
    (value.name, select(i)) for i, value in enumerate(taken, len(before))
  ]
  rest = _computation(argument, arguments + values, whole.result.result)
  types = [before[0].member, [t.type_signature.member for t in taken]]

  @tff.federated_computation(
    tff.FederatedType(types, tff.SERVER), whole.parameter_type[1]
  )
  def computation(at_server, at_clients):
    drawn = [at_server[1][i] for i in range(len(taken))]
    return at_server, rest(at_server[0], at_clients, *drawn)[1]

  return computation


def _computation(argument, values, result):
  return tff.framework.ConcreteComputation.from_building_block(
    tff.framework.Lambda(
      argument.name,
      argument.type_signature,
      tff.framework.Block(values, result),
    )
  )
