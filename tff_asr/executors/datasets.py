"""Datasets without state: every use of a dataset begins at the same place.

TFF treats a dataset as a value.  A TensorFlow dataset has state: the next draw
of a shuffle and the contents of a cache in memory pass from one iteration to
the next.
"""

import tensorflow as tf

from tff_asr.executors import graphs

# TensorFlow's classes of datasets that have state, or that hide their inputs.
_WITH_STATE = frozenset(
  ['CacheDataset', '_RandomDataset', '_ShuffleDataset', '_VariantDataset']
)
# Operations whose last input is the state, and the operation that creates a new
# state.
_NEW_STATE = {
  'CacheDatasetV2': 'DummyMemoryCache',
  'RandomDatasetV2': 'DummySeedGenerator',
  'ShuffleAndRepeatDatasetV2': 'DummySeedGenerator',
  'ShuffleDatasetV3': 'DummySeedGenerator',
}
_IGNORE = 1  # Policy: a dataset keeps its tables and Python functions.


def to_variant(dataset: tf.data.Dataset) -> tf.Tensor:
  """Returns a dataset as a tensor that shares no state with the dataset."""
  variant = tf.data.experimental.to_variant(dataset)
  if not _has_state(dataset):
    return variant
  serialized = tf.raw_ops.DatasetToGraphV2(
    input_dataset=variant,
    external_state_policy=_IGNORE,
    strip_device_assignment=True,
  )
  graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
  nodes = {node.name: node for node in graph.node}
  for node in graph.node:
    if node.op in _NEW_STATE:
      state = nodes[graphs.node_name(node.input[-1])]
      state.Clear()
      state.name = graphs.node_name(node.input[-1])
      state.op = _NEW_STATE[node.op]
  return tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())


def _has_state(dataset: tf.data.Dataset) -> bool:
  captured = (
    tensor
    for function in dataset._functions()
    for tensor in function.function.captured_inputs
  )
  return (
    type(dataset).__name__ in _WITH_STATE
    or any(tensor.dtype == tf.variant for tensor in captured)
    or any(map(_has_state, dataset._inputs()))
  )
