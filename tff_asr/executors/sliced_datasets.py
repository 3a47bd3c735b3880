"""Datasets that are slices of tensors, and the functions mapped over them.

Most clients' datasets are made so: `from_tensor_slices` or `range`, then `map`.
A loop over the slices needs no iterator.  An iterator would copy the library of
functions and compile the mapped functions again, for every client.
"""

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import itertools

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from tff_asr.executors import graphs

_SLICES = 'TensorSliceDataset'
_RANGE = 'RangeDataset'
_MAP = 'MapDataset'
_OPTIONS = 'OptionsDataset'
_PACKED = 'OptionalFromValue'
# TensorFlow declares a call as stateful, whatever the called function does.
_WITHOUT_STATE = frozenset([*graphs.CALLS, 'Assert', 'Case', 'If', 'While'])
_PROCESSOR = '/device:CPU:*'  # Texts of a dataset cannot be on a GPU.
_numbers = itertools.count()
GRAPH = ''  # Stands for the graph itself among the names of its functions.
Reduction = tuple[str, str]
"""Names of a function (or `''` for the graph) and of a reduction in it."""


@dataclasses.dataclass(frozen=True)
class Map:
  """A function that is mapped over a dataset.

  Attributes:
    function: Name of the function.
    captured: Number of tensors that follow an element in the arguments.
    results: Types of the results.
  """

  function: str
  captured: int
  results: tuple[tf.DType, ...]


@dataclasses.dataclass(frozen=True)
class SlicedDataset:
  """A dataset of slices, and the functions mapped over the slices.

  Attributes:
    inputs: Names of the tensors that define the dataset: the sliced tensors,
      and the tensors that each function captures.
    types: Types of these tensors.
    slices: Number of sliced tensors.
    is_range: Whether start, stop and step define the only sliced tensor.
    maps: The functions, in order.
    after: Operations for which the dataset waits, such as assertions.
  """

  inputs: tuple[str, ...]
  types: tuple[tf.DType, ...]
  slices: int
  is_range: bool = False
  maps: tuple[Map, ...] = ()
  after: tuple[str, ...] = ()

  def unpack(self, packed: tf.Tensor) -> list[tf.Tensor]:
    """Returns the sliced tensors and the tensors that functions capture."""
    with tf.device(_PROCESSOR):
      inputs = tf.raw_ops.OptionalGetValue(
        optional=packed,
        output_types=self.types,
        output_shapes=[tf.TensorShape(None)] * len(self.types),
      )
      if self.is_range:
        start, stop, step, *captured = inputs
        # `tf.range` refuses a stop on the wrong side of the start.
        furthest = tf.where(step > 0, tf.maximum(start, stop), start)
        stop = tf.where(step < 0, tf.minimum(start, stop), furthest)
        return [tf.range(start, stop, step), *captured]
      sizes = [tf.shape(tensor)[0] for tensor in inputs[: self.slices]]
      if len(sizes) == 1:
        return inputs
      is_equal = tf.reduce_all(tf.equal(sizes, sizes[0]))
      with tf.control_dependencies([tf.debugging.Assert(is_equal, sizes)]):
        return [tf.identity(inputs[0]), *inputs[1:]]

  def size(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the number of elements, int32 `[]`; see `unpack`."""
    return tf.shape(tensors[0])[0]

  def element(
    self, tensors: Sequence[tf.Tensor], number: tf.Tensor
  ) -> list[tf.Tensor]:
    """Returns an element; the graph must have the library of functions.

    Args:
      tensors: Result of `unpack`.
      number: int32 `[]`, number of the element.
    """
    with tf.device(_PROCESSOR):
      values = [tf.gather(tensor, number) for tensor in tensors[: self.slices]]
      captured = iter(tensors[self.slices :])
      for function in self.maps:
        others = itertools.islice(captured, function.captured)
        values = tf.raw_ops.StatefulPartitionedCall(
          args=[*values, *others], Tout=function.results, f=function.function
        )
      return list(values)


def pack(graph: tf.compat.v1.GraphDef) -> dict[Reduction, SlicedDataset]:
  """Replaces the datasets of reductions by the tensors that define them.

  A dataset becomes one tensor of type variant, as the dataset itself is one.
  So the calls between the dataset and its reductions stay the same.  A dataset
  is left alone if other operations use it, or if a function that is mapped over
  it has a state: an iterator starts anew from that state.

  Args:
    graph: The graph, which is changed.

  Returns:
    The packed datasets of reductions.
  """
  bodies = {f.signature.name: f for f in graph.library.function}
  scopes = {GRAPH: graph.node}
  scopes |= {name: body.node_def for name, body in bodies.items()}
  calls = collections.Counter(
    called.name
    for node in graphs.all_nodes(graph)
    for called in graphs.called(node)
  )
  packed = {}
  for scope, nodes in scopes.items():
    by_name = {node.name: node for node in nodes}
    for node in list(nodes):
      dataset = _sliced(node, by_name, bodies)
      if dataset is None:
        continue
      found = _reductions(scope, node.name, scopes, bodies, calls)
      if not found:
        continue
      name = _add_packed(nodes, dataset, scope)
      for user, place in _users(nodes, node.name):
        user.input[place] = name
      packed.update(dict.fromkeys(found, dataset))
  return packed


def _sliced(node, nodes: Mapping, bodies: Mapping) -> SlicedDataset | None:
  """Returns the dataset of a node, or `None` if it is of another kind."""
  if node is None:  # An argument of the function.
    return None
  after = tuple(value for value in node.input if value.startswith('^'))
  if node.op == _SLICES:
    types = _types(node, 'Toutput_types')
    return SlicedDataset(
      tuple(_data_inputs(node)), types, len(types), after=after
    )
  if node.op == _RANGE and _types(node, 'output_types') == (tf.int64,):
    return SlicedDataset(
      tuple(_data_inputs(node)), (tf.int64,) * 3, 1, is_range=True, after=after
    )
  if node.op not in (_OPTIONS, _MAP):
    return None
  first, *others = _data_inputs(node)
  dataset = _sliced(nodes.get(graphs.node_name(first)), nodes, bodies)
  if dataset is None:
    return None
  dataset = dataclasses.replace(dataset, after=(*dataset.after, *after))
  if node.op == _OPTIONS:
    return dataset
  name = node.attr['f'].func.name
  if not _is_stateless(name, bodies):
    return None
  function = Map(name, len(others), _types(node, 'output_types'))
  return dataclasses.replace(
    dataset,
    inputs=(*dataset.inputs, *others),
    types=(*dataset.types, *_types(node, 'Targuments')),
    maps=(*dataset.maps, function),
  )


def _types(node, attribute: str) -> tuple[tf.DType, ...]:
  return tuple(map(tf.as_dtype, node.attr[attribute].list.type))


def _is_stateless(name: str, bodies: Mapping) -> bool:
  for node in bodies[name].node_def:
    stateful = op_def_registry.get(node.op).is_stateful
    if stateful and node.op not in _WITHOUT_STATE:
      return False
    if not all(_is_stateless(f.name, bodies) for f in graphs.called(node)):
      return False
  return True


def _reductions(
  scope: str, name: str, scopes: Mapping, bodies: Mapping, calls: Mapping
) -> set[Reduction]:
  """Returns the reductions of a dataset, or nothing if it has other uses."""
  found = set()
  for user, place in _users(scopes[scope], name):
    if user.op == graphs.REDUCTION and place == 0:
      found.add((scope, user.name))
      continue
    if user.op == 'Identity':
      inside = _reductions(scope, user.name, scopes, bodies, calls)
    elif user.op in graphs.CALLS and calls[user.attr['f'].func.name] == 1:
      function = user.attr['f'].func.name
      argument = bodies[function].signature.input_arg[place].name
      inside = _reductions(function, argument, scopes, bodies, calls)
    else:
      return set()
    if not inside:
      return set()
    found |= inside
  if scope and name in map(graphs.node_name, bodies[scope].ret.values()):
    return set()
  return found


def _users(nodes, name: str) -> list[tuple]:
  """Returns the nodes that use a node's first output, each with the place."""
  return [
    (node, place)
    for node in nodes
    for place, value in enumerate(node.input)
    if graphs.node_name(value) == name and not value.startswith('^')
  ]


def _data_inputs(node) -> list[str]:
  return [value for value in node.input if not value.startswith('^')]


def _add_packed(nodes, dataset: SlicedDataset, scope: str) -> str:
  """Adds a node that packs a dataset; returns the name of its output."""
  node = nodes.add(name=f'packed_dataset_{next(_numbers)}', op=_PACKED)
  node.device = _PROCESSOR
  node.input.extend([*dataset.inputs, *dict.fromkeys(dataset.after)])
  node.attr['Toutput_types'].list.type.extend(
    t.as_datatype_enum for t in dataset.types
  )
  return f'{node.name}:optional:0' if scope else node.name
