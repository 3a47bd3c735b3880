"""Initial values of variables: neither computed in vain nor kept in memory.

TFF's computations initialise a model's variables in every call, mostly with
random values.  If values depend on constants only, such as random numbers from
a fixed seed, TensorFlow treats them as constants.  It then holds two copies of
them as long as the function lives.  For a model's weights this is twice the
memory of the model, although a client overwrites these weights with the
server's weights before it reads them.
"""

import itertools
from typing import Any, NamedTuple

import tensorflow as tf

from tff_asr.executors import graphs

_ASSIGN = 'AssignVariableOp'
_SEED_OF = {'StatelessRandomGetKeyCounter': 0} | {
  f'StatelessRandom{kind}': 1 for kind in ('Normal', 'Uniform')
}


class _Body(NamedTuple):
  """A function of a graph.

  Attributes:
    function: Its definition.
    users: The nodes that use each of its nodes, by the used node's name.
    has_switch: Whether some of its nodes may not run.
  """

  function: Any
  users: dict[str, list]
  has_switch: bool


def drop_overwritten(graph: tf.compat.v1.GraphDef, initialize: str) -> None:
  """Removes initial values that no operation can read.

  Args:
    graph: The graph, which is changed.  An initial assignment of a variable is
      removed if a later assignment precedes all other uses of the variable.
      The later assignment may be in a function that the graph calls.
    initialize: Name of the node that initialises all variables.
  """
  if any(node.op == 'Switch' for node in graph.node):
    return  # The nodes after a switch, such as an assignment, may not run.
  bodies = {
    function.signature.name: _Body(
      function,
      _users(function.node_def),
      any(node.op == 'Switch' for node in function.node_def),
    )
    for function in graph.library.function
  }
  before = graphs.ancestors(graph, [initialize])
  users = _users(graph.node)
  dead = set()
  for handle in (n for n in graph.node if n.op == 'VarHandleOp'):
    using = users.get(handle.name, [])
    initial = [node for node in using if node.name in before]
    later = [node for node in using if node.name not in before]
    if any(node.op != _ASSIGN for node in initial):
      continue  # Another initial value depends on this one.
    if _is_overwritten(handle.name, later, users, bodies):
      dead.update(node.name for node in initial)
  for node in graph.node:
    inputs = [name for name in node.input if graphs.node_name(name) not in dead]
    node.input[:] = inputs
  graphs.keep_only(graph, [n for n in graph.node if n.name not in dead])


def _users(nodes) -> dict[str, list]:
  """Returns the nodes that use each node, by the used node's name."""
  users = {}
  for node in nodes:
    for name in {graphs.node_name(tensor) for tensor in node.input}:
      users.setdefault(name, []).append(node)
  return users


def _is_overwritten(handle: str, using, users, bodies) -> bool:
  """Returns whether an assignment precedes all other uses of a variable.

  Args:
    handle: Name of the variable, in a graph or in a function.
    using: Nodes that use the variable.
    users: Nodes that use each node of the same graph.
    bodies: The functions, by name.
  """
  return any(
    _assigns(node, handle, bodies) and _is_first(node, using, users)
    for node in using
  )


def _assigns(node, handle: str, bodies) -> bool:
  """Returns whether a node assigns a variable before it reads the variable."""
  if node.op == _ASSIGN:
    return True
  if node.op not in graphs.CALLS:
    return False
  body = bodies[node.attr['f'].func.name]
  places = [i for i, name in enumerate(node.input) if name == handle]
  if len(places) != 1 or body.has_switch:
    return False
  argument = body.function.signature.input_arg[places[0]].name
  if argument in map(graphs.node_name, body.function.ret.values()):
    return False
  using = body.users.get(argument, [])
  return _is_overwritten(argument, using, body.users, bodies)


def _is_first(node, others, users) -> bool:
  """Returns whether a node precedes all other nodes of a list."""
  missing = {other.name for other in others} - {node.name}
  seen, to_visit = {node.name}, [node]
  while to_visit and missing:
    for user in users.get(to_visit.pop().name, []):
      if user.name not in seen:
        seen.add(user.name)
        missing.discard(user.name)
        to_visit.append(user)
  return not missing


def keep_random(graph: tf.compat.v1.GraphDef) -> None:
  """Makes every call draw its random numbers, also from constant seeds."""
  constant = {node.name for node in graph.node if node.op == 'Const'}
  numbers = itertools.count()
  for node in list(graph.node):
    which = _SEED_OF.get(node.op)
    if which is None or graphs.node_name(node.input[which]) not in constant:
      continue
    dtype = node.attr['Tseed']
    prefix = f'{node.name}/drawn_in_every_call_{next(numbers)}'
    shape = graph.node.add(name=f'{prefix}/shape', op='Const')
    shape.attr['dtype'].type = tf.int32.as_datatype_enum
    shape.attr['value'].tensor.CopyFrom(tf.make_tensor_proto([], tf.int32))
    # TensorFlow declares `Empty` as stateful, so that no optimisation treats
    # its value as a constant.
    zero = graph.node.add(name=f'{prefix}/zero', op='Empty')
    zero.input.append(shape.name)
    zero.attr['dtype'].CopyFrom(dtype)
    zero.attr['init'].b = True
    seed = graph.node.add(name=f'{prefix}/seed', op='AddV2')
    seed.input.extend([node.input[which], zero.name])
    seed.attr['T'].CopyFrom(dtype)
    node.input[which] = seed.name
