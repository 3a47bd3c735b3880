"""TFF's TensorFlow computations as pieces of graphs in this process.

A piece is written into the graph of a function that is being traced.  Its
variables become arguments, so that whoever calls the function owns them: two
calls that run at once do not share any, and no call sees what another has left.
"""

from collections.abc import Iterator, Sequence
import copy
import itertools

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.executors import (
  dataset_loops,
  graphs,
  initial_values,
  resources,
)

_ANY_NAME = 'cd2c89b7-88b7-44c8-ad83-06c2a9158347'  # A new variable every time.


class UnsupportedError(TypeError):
  """A computation cannot run here; says why."""


class GraphPiece:
  """One computation, which TFF has turned into a TensorFlow graph.

  Attributes:
    variables: Specs of its variables.
    has_fixed_seeds: Whether it draws random numbers from given seeds.
  """

  def __init__(self, computation: tff.framework.ConcreteComputation):
    """Reads a computation.

    Raises:
      UnsupportedError: If it keeps state between calls, other than variables.
    """
    proto = tff.framework.serialize_computation(computation).tensorflow
    graph, needed = needed_graph(proto)
    self._parameters = _tensor_names(proto.parameter)
    self._results = _tensor_names(proto.result)
    reason = resources.leaking(graph)
    if reason:
      raise UnsupportedError(reason)
    handles = resources.isolate(graph)
    dataset_loops.rewrite(graph)
    if proto.initialize_op:
      initial_values.drop_overwritten(graph, proto.initialize_op)
    initial_values.keep_random(graph)
    _keep_needed(graph, needed)
    nodes = {node.name: node for node in graph.node}
    variables = [node for node in graph.node if node.op == resources.VARIABLE]
    self._variable_names = [node.name for node in variables]
    self.variables = [
      tf.TensorSpec(
        tf.TensorShape(node.attr['shape'].shape), node.attr['dtype'].type
      )
      for node in variables
    ]
    if proto.initialize_op:
      _initialize_first(graph, proto.initialize_op, handles)
    for node in graph.node:
      node.attr.pop('_class', None)  # Names variables, which are left out.
    kept = [node for node in graph.node if node.op != resources.VARIABLE]
    self._graph = tf.compat.v1.GraphDef(
      versions=graph.versions, library=graph.library, node=kept
    )
    self._used = {graphs.node_name(name) for name in self._parameters} & set(
      nodes
    )
    self.has_fixed_seeds = any(_seeds(node) for node in graphs.all_nodes(graph))

  def nodes(self) -> Iterator[tf.compat.v1.NodeDef]:
    """Yields what a call writes, with what is in its functions."""
    return graphs.all_nodes(self._graph)

  def call(
    self,
    arguments: Sequence[tf.Tensor],
    variables: Sequence[tf.Tensor] = (),
    seed_shift: int = 0,
  ) -> list[tf.Tensor]:
    """Writes the piece into the current graph; returns its results.

    Args:
      arguments: Leaves of its argument, as `values.flatten` gives them.
      variables: What `create_variables` gives; no other call that runs at the
        same time may have them.
      seed_shift: Added to given seeds, to have different random numbers where
        kernels of their own would draw the same.
    """
    inputs = {
      name: argument
      for name, argument in zip(self._parameters, arguments, strict=True)
      if graphs.node_name(name) in self._used
    }
    for name, handle in zip(self._variable_names, variables, strict=True):
      inputs[f'{name}:0'] = handle
    graph = self._graph
    if seed_shift and self.has_fixed_seeds:
      graph = copy.deepcopy(graph)
      for node in self._shifted(graph):
        node.attr['seed2'].i += seed_shift
      dataset_loops.rename_all(graph)  # They are others now.
    return tf.graph_util.import_graph_def(
      graph, input_map=inputs, return_elements=self._results, name=''
    )

  def _shifted(self, graph) -> Iterator[tf.compat.v1.NodeDef]:
    """Yields what draws by a given seed and goes on from call to call.

    Datasets begin anew in every use, for all clients at the same place.
    """
    begin_anew = graphs.functions_of_datasets(graph)
    bodies = [
      function.node_def
      for function in graph.library.function
      if function.signature.name not in begin_anew
    ]
    yield from filter(_seeds, itertools.chain(graph.node, *bodies))

  def create_variables(self) -> list[tf.Tensor]:
    """Returns handles of variables without a value, on the current device."""
    return [
      tf.raw_ops.VarHandleOp(
        dtype=spec.dtype, shape=spec.shape, shared_name=_ANY_NAME
      )
      for spec in self.variables
    ]


def destroy_variables(handles: Sequence[tf.Tensor]) -> None:
  """Frees what `GraphPiece.create_variables` gave."""
  for handle in handles:
    tf.raw_ops.DestroyResourceOp(resource=handle, ignore_lookup_error=True)


def needed_graph(proto) -> tuple[tf.compat.v1.GraphDef, set[str]]:
  """Returns the graph of a computation, and names of the nodes that it is for.

  Args:
    proto: TFF's description of a computation in TensorFlow.
  """
  graph = tf.compat.v1.GraphDef()
  proto.graph_def.Unpack(graph)
  needed = {*map(graphs.node_name, _tensor_names(proto.result))}
  needed.add(proto.initialize_op)
  _keep_needed(graph, needed)
  return graph, needed


def _tensor_names(binding) -> list[str]:
  kind = binding.WhichOneof('binding')
  if kind == 'tensor':
    return [binding.tensor.tensor_name]
  if kind == 'sequence':
    return [binding.sequence.variant_tensor_name]
  elements = binding.struct.element if kind else []
  return [name for element in elements for name in _tensor_names(element)]


def _keep_needed(graph, names: set[str]) -> None:
  """Leaves in a graph what is needed for some nodes; `''` is none."""
  needed = graphs.ancestors(graph, names - {''})
  graphs.keep_only(graph, [n for n in graph.node if n.name in needed])


def _initialize_first(graph, initialize: str, handles: set[str]) -> None:
  """Lets everything that uses a resource wait until all are initialised."""
  before = graphs.ancestors(graph, [initialize])
  for node in graph.node:
    uses = {graphs.node_name(i) for i in node.input if not i.startswith('^')}
    if node.name not in before and uses & handles & before:
      node.input.append(f'^{initialize}')


def _seeds(node) -> bool:
  """Whether a random operation has a given seed and a kernel that goes on."""
  return 'seed2' in node.attr and bool(
    node.attr['seed'].i or node.attr['seed2'].i
  )
