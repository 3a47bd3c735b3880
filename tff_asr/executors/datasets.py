"""Datasets as values, of which every use begins at the same place.

To TFF a dataset is a value.  TensorFlow's has a state: what a shuffle draws
next, and what a cache in memory has, go from one iteration to the next.
"""

import tensorflow as tf

from tff_asr.executors import graphs

# Classes of TensorFlow's that have a state, or that hide what is inside.
_WITH_STATE = frozenset(
  ['CacheDataset', '_RandomDataset', '_ShuffleDataset', '_VariantDataset']
)
# Operations whose last input is the state, and what makes a new one.
_NEW_STATE = {
  'CacheDatasetV2': 'DummyMemoryCache',
  'RandomDatasetV2': 'DummySeedGenerator',
  'ShuffleAndRepeatDatasetV2': 'DummySeedGenerator',
  'ShuffleDatasetV3': 'DummySeedGenerator',
}
_IGNORE = 1  # Tables and Python functions of a dataset stay the same.


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
