"""Nodes of TensorFlow's graphs."""

from collections.abc import Iterable, Iterator

import tensorflow as tf

CALLS = ('PartitionedCall', 'StatefulPartitionedCall')
REDUCTION = 'ReduceDataset'


def node_name(tensor: str) -> str:
  """Returns the name of the node that computes a tensor.

  Args:
    tensor: An input of another node, as TensorFlow writes it (`^` and the
      number of the output may be part of it).
  """
  return tensor.removeprefix('^').partition(':')[0]


def all_nodes(graph: tf.compat.v1.GraphDef) -> Iterator[tf.compat.v1.NodeDef]:
  """Yields the nodes of a graph and of its functions."""
  yield from graph.node
  for function in graph.library.function:
    yield from function.node_def


def functions_of_datasets(graph: tf.compat.v1.GraphDef) -> set[str]:
  """Returns the names of all functions that datasets call, directly or not."""
  bodies = {f.signature.name: f.node_def for f in graph.library.function}
  found: set[str] = set()
  to_visit = [node for node in all_nodes(graph) if 'Dataset' in node.op]
  while to_visit:
    for name in {f.name for f in called(to_visit.pop())} - found:
      found.add(name)
      to_visit += bodies.get(name, [])
  return found


def called(
  node: tf.compat.v1.NodeDef,
) -> Iterator[tf.compat.v1.NameAttrList]:
  """Yields a node's references to functions."""
  for attribute in node.attr.values():
    if attribute.HasField('func'):
      yield attribute.func
    elif attribute.HasField('list'):
      yield from attribute.list.func


def ancestors(graph: tf.compat.v1.GraphDef, names: Iterable[str]) -> set[str]:
  """Returns the names of nodes and of all nodes on which they depend."""
  nodes = {node.name: node for node in graph.node}
  found, to_visit = set(), list(names)
  while to_visit:
    name = to_visit.pop()
    if name not in found:
      found.add(name)
      to_visit += map(node_name, nodes[name].input)
  return found


def keep_only(
  graph: tf.compat.v1.GraphDef, nodes: Iterable[tf.compat.v1.NodeDef]
) -> None:
  """Removes all nodes from a graph except the given ones."""
  kept = list(nodes)
  del graph.node[:]
  graph.node.extend(kept)
