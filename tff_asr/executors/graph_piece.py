"""TFF's TensorFlow computations as pieces of graphs in this process.

A piece is written into the graph of a function that is being traced.  The
piece's variables become arguments of that function, and the caller owns them:
calls that run at once share no variables, and no call sees the values that
another call left.
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

# With this name TensorFlow creates a new variable in every call.
_ANY_NAME = 'cd2c89b7-88b7-44c8-ad83-06c2a9158347'


class UnsupportedError(TypeError):
  """A computation cannot run on local devices; the message says why."""


class GraphPiece:
  """One computation, which TFF has turned into a TensorFlow graph.

  Attributes:
    variables: Specs of the graph's variables.
    has_fixed_seeds: Whether the graph draws random numbers from given seeds.
  """

  def __init__(self, computation: tff.framework.ConcreteComputation):
    """Reads a computation.

    Raises:
      UnsupportedError: If the computation keeps state between calls, other than
        variables.
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
    _prune(graph, needed)
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
      # The attribute names variables, which are not part of the piece's graph.
      node.attr.pop('_class', None)
    kept = [node for node in graph.node if node.op != resources.VARIABLE]
    self._graph = tf.compat.v1.GraphDef(
      versions=graph.versions, library=graph.library, node=kept
    )
    self._used = {graphs.node_name(name) for name in self._parameters} & set(
      nodes
    )
    self.has_fixed_seeds = any(_seeds(node) for node in graphs.all_nodes(graph))

  def nodes(self) -> Iterator[tf.compat.v1.NodeDef]:
    """Yields the nodes that a call writes, and the nodes of their functions."""
    return graphs.all_nodes(self._graph)

  def call(
    self,
    arguments: Sequence[tf.Tensor],
    variables: Sequence[tf.Tensor] = (),
    seed_shift: int = 0,
  ) -> list[tf.Tensor]:
    """Writes the piece into the current graph; returns the piece's results.

    Args:
      arguments: Leaves of the computation's argument, as `values.flatten`
        returns them.
      variables: Handles that `create_variables` returned; no two calls that run
        at the same time may use the same handles.
      seed_shift: Added to given seeds.  Two copies of a piece have separate
        kernels, which would draw the same random numbers from the same seed.
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
      dataset_loops.rename_all(graph)  # The functions' bodies have changed.
    return tf.graph_util.import_graph_def(
      graph, input_map=inputs, return_elements=self._results, name=''
    )

  def _shifted(self, graph) -> Iterator[tf.compat.v1.NodeDef]:
    """Yields random operations whose stream continues from call to call.

    They have a given seed.  Operations of datasets are left out, because a
    dataset restarts at the same place in every use, for all clients.
    """
    of_datasets = graphs.functions_of_datasets(graph)
    bodies = [
      function.node_def
      for function in graph.library.function
      if function.signature.name not in of_datasets
    ]
    yield from filter(_seeds, itertools.chain(graph.node, *bodies))

  def create_variables(self) -> list[tf.Tensor]:
    """Creates variables without a value on the current device.

    Returns:
      Handles of the variables; `destroy_variables` frees them.
    """
    return [
      tf.raw_ops.VarHandleOp(
        dtype=spec.dtype, shape=spec.shape, shared_name=_ANY_NAME
      )
      for spec in self.variables
    ]


def destroy_variables(handles: Sequence[tf.Tensor]) -> None:
  """Frees variables that `GraphPiece.create_variables` created."""
  for handle in handles:
    tf.raw_ops.DestroyResourceOp(resource=handle, ignore_lookup_error=True)


def needed_graph(proto) -> tuple[tf.compat.v1.GraphDef, set[str]]:
  """Returns the graph of a computation, and the names of its output nodes.

  The node that initialises variables counts as an output; its name is `''` if
  there is none.  The graph has only nodes on which an output depends.

  Args:
    proto: TFF's description of a computation in TensorFlow.
  """
  graph = tf.compat.v1.GraphDef()
  proto.graph_def.Unpack(graph)
  needed = {*map(graphs.node_name, _tensor_names(proto.result))}
  needed.add(proto.initialize_op)
  _prune(graph, needed)
  return graph, needed


def _tensor_names(binding) -> list[str]:
  kind = binding.WhichOneof('binding')
  if kind == 'tensor':
    return [binding.tensor.tensor_name]
  if kind == 'sequence':
    return [binding.sequence.variant_tensor_name]
  elements = binding.struct.element if kind else []
  return [name for element in elements for name in _tensor_names(element)]


def _prune(graph, names: set[str]) -> None:
  """Prunes a graph to some nodes and their ancestors; ignores the name `''`."""
  needed = graphs.ancestors(graph, names - {''})
  graphs.keep_only(graph, [n for n in graph.node if n.name in needed])


def _initialize_first(graph, initialize: str, handles: set[str]) -> None:
  """Makes every user of a resource wait until all resources are initialised."""
  before = graphs.ancestors(graph, [initialize])
  for node in graph.node:
    uses = {graphs.node_name(i) for i in node.input if not i.startswith('^')}
    if node.name not in before and uses & handles & before:
      node.input.append(f'^{initialize}')


def _seeds(node) -> bool:
  """Returns whether a random operation has a given seed and a stateful kernel.

  A stateful kernel continues one stream of random numbers from call to call.
  """
  return 'seed2' in node.attr and bool(
    node.attr['seed'].i or node.attr['seed2'].i
  )
