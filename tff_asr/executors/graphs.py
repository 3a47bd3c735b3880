"""Nodes of TensorFlow's graphs."""

from collections.abc import Iterable, Iterator

import tensorflow as tf


def node_name(tensor: str) -> str:
  """Name of the node that an input of another node comes from."""
  return tensor.removeprefix('^').partition(':')[0]


def all_nodes(graph: tf.compat.v1.GraphDef) -> Iterator[tf.compat.v1.NodeDef]:
  """Yields the nodes of a graph and of its functions."""
  yield from graph.node
  for function in graph.library.function:
    yield from function.node_def


def ancestors(graph: tf.compat.v1.GraphDef, names: Iterable[str]) -> set[str]:
  """Names of nodes and of all that they depend on."""
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
  """Takes all other nodes out of a graph."""
  kept = list(nodes)
  del graph.node[:]
  graph.node.extend(kept)
