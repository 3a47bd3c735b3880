"""State that operations keep from one execution of a graph to the next.

TensorFlow keeps it in resources, which it finds by name, or in the operation
itself.  TFF's own runtime gives every call resources of its own.  Here a call
makes new ones, which go when it ends; what cannot be made anew is refused.
"""

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from tff_asr.executors import graphs

VARIABLE = 'VarHandleOp'
_NEW_VARIABLE = b'cd2c89b7-88b7-44c8-ad83-06c2a9158347'

# Operations that find a resource by name, and those that make a new one.
_ANONYMOUS = {
  'HashTableV2': 'AnonymousHashTable',
  'IteratorV2': 'AnonymousIteratorV3',
  'MutableDenseHashTableV2': 'AnonymousMutableDenseHashTable',
  'MutableHashTableOfTensorsV2': 'AnonymousMutableHashTableOfTensors',
  'MutableHashTableV2': 'AnonymousMutableHashTable',
}
_NEW = frozenset(
  [
    *_ANONYMOUS.values(),
    *('AnonymousIterator', 'AnonymousIteratorV2', 'AnonymousMemoryCache'),
    *('AnonymousRandomSeedGenerator', 'AnonymousSeedGenerator'),
    # A dataset that gets one of these makes a new one for itself.
    *('DummyIterationCounter', 'DummyMemoryCache', 'DummySeedGenerator'),
    # Of one execution, by TensorFlow itself.
    *('StackV2', 'TensorArrayV3', 'TensorArrayGradV3'),
    'TensorArrayGradWithShape',
    'MutexV2',  # A lock, which has no value.
  ]
)
# Stateful to TensorFlow, lest they are computed once, but they keep nothing...
_WITHOUT_STATE = frozenset(
  [
    *('Case', 'If', 'StatefulPartitionedCall', 'While', 'XlaCallModule'),
    *('Assert', 'CheckNumerics', 'CheckNumericsV2', 'Print', 'PrintV2'),
    *('ConsumeMutexLock', 'DeepCopy', 'Empty', 'GuaranteeConst'),
    *('LoadAndRemapMatrix', 'MergeV2Checkpoints', 'Restore', 'RestoreSlice'),
    *('RestoreV2', 'Save', 'SaveSlices', 'SaveV2', 'StatelessRandomGetAlg'),
    'WriteFile',
  ]
)
# ... or only their place in a stream of random numbers.
_RANDOM = frozenset(
  [
    *('AllCandidateSampler', 'FixedUnigramCandidateSampler'),
    *('LogUniformCandidateSampler', 'UniformCandidateSampler', 'Multinomial'),
    *('NonDeterministicInts', 'ParameterizedTruncatedNormal', 'RandomCrop'),
    *('RandomGamma', 'RandomPoisson', 'RandomPoissonV2', 'RandomShuffle'),
    *('RandomStandardNormal', 'RandomUniform', 'RandomUniformInt'),
    *('SampleDistortedBoundingBox', 'SampleDistortedBoundingBoxV2'),
    *('Timestamp', 'TruncatedNormal'),
    *('CudnnRNN', 'CudnnRNNV2', 'CudnnRNNV3'),
    *('CudnnRNNBackprop', 'CudnnRNNBackpropV2', 'CudnnRNNBackpropV3'),
  ]
)


def is_isolated(operation: str) -> bool:
  """Whether no state of an operation reaches another call, once isolated.

  A Python function has none if whoever wrote it says so, by `stateful=False`.
  """
  definition = op_def_registry.get(operation)
  if definition is None:
    return False
  if operation == VARIABLE or operation in _ANONYMOUS or operation in _NEW:
    return True
  attributes = {attribute.name for attribute in definition.attr}
  if _has_handle(definition.output_arg) or attributes & {
    'container',
    'shared_name',
  }:
    return False
  return (
    not definition.is_stateful
    or _has_handle(definition.input_arg)  # The state is in the resource.
    or 'Dataset' in operation
    or operation in _WITHOUT_STATE | _RANDOM
  )


def draws(operation: str) -> bool:
  """Whether an operation gives something else each time that it runs."""
  definition = op_def_registry.get(operation)
  seeds = {'seed', 'seed2'}  # Of some TensorFlow does not say that they draw.
  if definition and seeds <= {a.name for a in definition.attr}:
    return 'Dataset' not in operation or 'Shuffle' in operation
  return operation in _RANDOM or (
    'Dataset' in operation and ('Shuffle' in operation or 'Random' in operation)
  )


def _has_handle(arguments) -> bool:
  return any(a.is_ref or a.type == tf.resource for a in arguments)


def leaking(graph: tf.compat.v1.GraphDef) -> str | None:
  """Returns why a graph cannot be isolated, or `None` if it can."""
  inside = (node for f in graph.library.function for node in f.node_def)
  for node in graph.node:
    if not is_isolated(node.op):
      return _reason(node)
  for node in inside:  # How often a function runs is not known.
    is_named = node.op == VARIABLE or node.op in _ANONYMOUS
    if is_named or not is_isolated(node.op):
      return _reason(node)
  return None


def _reason(node) -> str:
  return (
    f'its operation {node.name!r} ({node.op}) keeps a state of its own, which'
    ' would pass from one client to the next'
  )


def isolate(graph: tf.compat.v1.GraphDef) -> set[str]:
  """Lets every execution of a graph make the resources that it uses.

  Variables stay as they are: they become arguments.

  Args:
    graph: One that does not leak; it is changed.

  Returns:
    Names of the nodes that stand for a resource, variables among them.
  """
  _merge_equal(graph)
  found = set()
  for node in graph.node:
    if node.op in _ANONYMOUS:
      node.op = _ANONYMOUS[node.op]
      known = {a.name for a in op_def_registry.get(node.op).attr}
      for name in set(node.attr) - known:
        del node.attr[name]
      found.add(node.name)
    elif node.op == VARIABLE:
      found.add(node.name)
  return found


def _merge_equal(graph) -> None:
  """Makes one node of those that name the same resource."""
  first, same = {}, {}
  for node in graph.node:
    name = node.attr['shared_name'].s if 'shared_name' in node.attr else b''
    if not (node.op == VARIABLE or node.op in _ANONYMOUS):
      continue
    if name and name != _NEW_VARIABLE:
      key = node.op, node.attr['container'].s, name
      kept = first.setdefault(key, node.name)
      if kept != node.name:
        same[node.name] = kept
  if not same:
    return
  for node in graph.node:
    for i, value in enumerate(node.input):
      kept = same.get(graphs.node_name(value))
      if kept:
        node.input[i] = f'^{kept}' if value.startswith('^') else kept
  graphs.keep_only(graph, [n for n in graph.node if n.name not in same])
