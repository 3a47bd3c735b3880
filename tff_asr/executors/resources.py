"""State that operations keep from one execution of a graph to the next.

TensorFlow keeps this state in resources, which have names, or in the operation
itself.  TFF's own runtime gives every call its own resources.  Here every call
creates new resources, which are freed when the call ends.  A graph is refused
if its state cannot be created per call.
"""

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from tff_asr.executors import graphs

VARIABLE = 'VarHandleOp'
_NEW_VARIABLE = b'cd2c89b7-88b7-44c8-ad83-06c2a9158347'

# From operations that find a resource by name to operations that create a new
# resource.
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
    # A dataset replaces these placeholders by its own new resource.
    *('DummyIterationCounter', 'DummyMemoryCache', 'DummySeedGenerator'),
    # TensorFlow itself limits these to one execution.
    *('StackV2', 'TensorArrayV3', 'TensorArrayGradV3'),
    'TensorArrayGradWithShape',
    'MutexV2',  # A lock has no value.
  ]
)
# TensorFlow declares these operations as stateful, so that no optimisation
# merges or precomputes them.  They keep no state...
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
# ... or only their position in a stream of random numbers.
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
  """Returns whether an isolated operation passes no state to another call.

  A Python function counts as stateless if its author declares it so, by
  `stateful=False`.
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
  """Returns whether an operation has a different result in every execution."""
  definition = op_def_registry.get(operation)
  # Some operations draw although TensorFlow does not declare it; these
  # attributes identify them.
  seeds = {'seed', 'seed2'}
  if definition and seeds <= {a.name for a in definition.attr}:
    return 'Dataset' not in operation or 'Shuffle' in operation
  return operation in _RANDOM or (
    'Dataset' in operation and ('Shuffle' in operation or 'Random' in operation)
  )


def _has_handle(arguments) -> bool:
  return any(a.is_ref or a.type == tf.resource for a in arguments)


def leaking(graph: tf.compat.v1.GraphDef) -> str | None:
  """Returns the reason why a graph cannot be isolated, or `None` if it can."""
  inside = (node for f in graph.library.function for node in f.node_def)
  for node in graph.node:
    if not is_isolated(node.op):
      return _reason(node)
  # It is unknown how often a function runs in one call, so `isolate` cannot
  # replace a named resource inside a function.
  for node in inside:
    is_named = node.op == VARIABLE or node.op in _ANONYMOUS
    if is_named or not is_isolated(node.op):
      return _reason(node)
  return None


def _reason(node) -> str:
  return (
    f'its operation {node.name!r} ({node.op}) keeps a state of its own, which'
    ' would pass from one client to the next client'
  )


def isolate(graph: tf.compat.v1.GraphDef) -> set[str]:
  """Makes every execution of a graph create the resources that it uses.

  Variables stay unchanged here; they become arguments later.

  Args:
    graph: A graph that does not leak state (see `leaking`); it is changed.

  Returns:
    Names of the nodes that represent a resource, including variables.
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
  """Merges nodes that name the same resource."""
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
