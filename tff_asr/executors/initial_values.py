"""Initial values that are not computed in vain, nor kept for ever.

TFF's computations initialise a model's variables in every call, mostly at
random.  TensorFlow takes what follows from constants alone, such as random
numbers from a fixed seed, for a constant, and holds two copies of it as long as
the function lives: two models' worth, for weights that a client overwrites with
those of the server before it reads them.
"""

import itertools

import tensorflow as tf

from tff_asr.executors import graphs

_SEED_OF = {'StatelessRandomGetKeyCounter': 0} | {
  f'StatelessRandom{kind}': 1 for kind in ('Normal', 'Uniform')
}


def drop_overwritten(graph: tf.compat.v1.GraphDef, initialize: str) -> None:
  """Leaves out initial values that nothing can read.

  Args:
    graph: Loses the assignments of variables which another assignment
      precedes in all that uses the variable.
    initialize: Name of the node that initialises all variables.
  """
  if any(node.op == 'Switch' for node in graph.node):
    return  # What follows may be left out.
  before = graphs.ancestors(graph, [initialize])
  users = {}
  for node in graph.node:
    for name in {graphs.node_name(tensor) for tensor in node.input}:
      users.setdefault(name, []).append(node)
  dead = set()
  for handle in (n for n in graph.node if n.op == 'VarHandleOp'):
    using = users.get(handle.name, [])
    initial = [node for node in using if node.name in before]
    later = [node for node in using if node.name not in before]
    if any(node.op != 'AssignVariableOp' for node in initial):
      continue  # Another initial value is computed from it.
    if any(_is_first(node, later, users) for node in later):
      dead.update(node.name for node in initial)
  for node in graph.node:
    inputs = [name for name in node.input if graphs.node_name(name) not in dead]
    node.input[:] = inputs
  graphs.keep_only(graph, [n for n in graph.node if n.name not in dead])


def _is_first(node, others, users) -> bool:
  """Whether a node assigns a variable before all others come to it."""
  if node.op != 'AssignVariableOp':
    return False
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
  """Lets random numbers from constant seeds be drawn in every call."""
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
    # Stateful, as TensorFlow has it, so that no pass takes it for a constant.
    zero = graph.node.add(name=f'{prefix}/zero', op='Empty')
    zero.input.append(shape.name)
    zero.attr['dtype'].CopyFrom(dtype)
    zero.attr['init'].b = True
    seed = graph.node.add(name=f'{prefix}/seed', op='AddV2')
    seed.input.extend([node.input[which], zero.name])
    seed.attr['T'].CopyFrom(dtype)
    node.input[which] = seed.name
