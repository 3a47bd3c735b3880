"""Loops over datasets in place of `ReduceDataset` operations.

In every execution of `ReduceDataset`, TensorFlow compiles the reduction's
function again.  For the clients of `tff.learning` this function trains a model,
and compiling it takes longer than running it.  Besides, `ReduceDataset` cannot
run on a GPU.  This module replaces the operation by a loop in the graph, which
is compiled once.  The loop has an iterator unless the dataset is one of
`sliced_datasets`.
"""

from collections.abc import Callable, Sequence
import dataclasses
import itertools

import tensorflow as tf

from tff_asr.executors import graphs, sliced_datasets

_PAIRS = ('forward_function_name', 'backward_function_name')
_numbers = itertools.count()
_Tensors = Sequence[tf.Tensor]
# Loops from (dataset, state, other arguments) to the last state.
_Loop = Callable[[tf.Tensor, _Tensors, _Tensors], _Tensors]


def rewrite(graph: tf.compat.v1.GraphDef) -> None:
  """Replaces every reduction of a dataset in a graph and its functions.

  Changed functions get a new name, because TensorFlow has already registered
  the old name with the old body.
  """
  _rename(graph, _functions_with_reductions(graph))
  packed = sliced_datasets.pack(graph)
  # Functions first, because a loop copies the functions that it calls.
  rewritten = set()
  for name in list(_functions(graph)):
    _rewrite_function(graph, name, rewritten, packed)
  for node in graph.node:
    if node.op == graphs.REDUCTION:
      _replace(graph, node, packed.get((sliced_datasets.GRAPH, node.name)))


def _functions(graph) -> dict:
  return {f.signature.name: f for f in graph.library.function}


def _functions_with_reductions(graph) -> set[str]:
  """Returns the names of functions that run a reduction, directly or not."""
  changing, before = set(), None
  while before != len(changing):
    before = len(changing)
    for name, function in _functions(graph).items():
      if any(
        node.op == graphs.REDUCTION
        or any(called.name in changing for called in graphs.called(node))
        for node in function.node_def
      ):
        changing.add(name)
  return changing


def rename_all(graph: tf.compat.v1.GraphDef) -> None:
  """Gives every function of a graph a name that is new to TensorFlow."""
  _rename(graph, set(_functions(graph)))


def _rename(graph, names: set[str]) -> None:
  new = {name: f'{name}_loop_{next(_numbers)}' for name in names}
  functions = graph.library.function
  for function in functions:
    name = function.signature.name
    function.signature.name = new.get(name, name)
  for nodes in [graph.node, *(function.node_def for function in functions)]:
    for called in (c for node in nodes for c in graphs.called(node)):
      called.name = new.get(called.name, called.name)
  for function in functions:
    for key in _PAIRS:  # TensorFlow uses these to find cuDNN's kernels.
      if key in function.attr:
        name = function.attr[key].s.decode()
        function.attr[key].s = new.get(name, name).encode()


def _rewrite_function(graph, name: str, rewritten: set[str], packed) -> None:
  if name in rewritten:
    return
  rewritten.add(name)
  functions = _functions(graph)
  function = functions[name]
  for called in (c for node in function.node_def for c in graphs.called(node)):
    if called.name in functions:
      _rewrite_function(graph, called.name, rewritten, packed)
  for node in function.node_def:
    if node.op == graphs.REDUCTION:
      _replace(graph, node, packed.get((name, node.name)))
      _rename_outputs(function, node.name)


def _rename_outputs(function, name: str) -> None:
  """Renames the outputs of a reduction to the outputs of a call, at all uses.

  Inside a function, the operation's definition names each output.
  """
  before, after = f'{name}:components:', f'{name}:output:'
  for node in function.node_def:
    for i, value in enumerate(node.input):
      if value.startswith(before):
        node.input[i] = after + value.removeprefix(before)
  for key, value in function.ret.items():
    if value.startswith(before):
      function.ret[key] = after + value.removeprefix(before)


def _replace(graph, node, packed: sliced_datasets.SlicedDataset | None) -> None:
  """Turns a reduction into a call of a function that runs the loop."""
  called = node.attr['f'].func.name
  states = [tf.as_dtype(t) for t in node.attr['Tstate'].list.type]
  others = [tf.as_dtype(t) for t in node.attr['Targuments'].list.type]
  signature = _functions(graph)[called].signature
  inputs = [tf.as_dtype(argument.type) for argument in signature.input_arg]
  elements = inputs[len(states) : len(inputs) - len(others)]
  reduction = _Reduction(graph.library, called, states, elements, others)
  loop = reduction.loop(
    reduction.iterate if packed is None else reduction.over_slices(packed)
  )
  definition = loop.graph.as_graph_def()
  known = _functions(graph)
  for function in [*definition.library.function, loop.function_def]:
    if function.signature.name not in known:
      graph.library.function.append(function)
  node.op = 'StatefulPartitionedCall'
  for attribute in list(node.attr):
    del node.attr[attribute]
  node.attr['f'].func.name = loop.function_def.signature.name
  node.attr['Tin'].list.type.extend(
    t.as_datatype_enum for t in [tf.variant, *states, *others]
  )
  node.attr['Tout'].list.type.extend(t.as_datatype_enum for t in states)


@dataclasses.dataclass(frozen=True)
class _Reduction:
  """A function that reduces a dataset, and loops that call the function.

  Attributes:
    library: Functions of the graph.
    called: Name of the function that a step of the loop calls.
    states: Types of the state's tensors.
    elements: Types of the tensors of an element of the dataset.
    others: Types of further arguments, which all steps share.
  """

  library: tf.compat.v1.GraphDef
  called: str
  states: Sequence[tf.DType]
  elements: Sequence[tf.DType]
  others: Sequence[tf.DType]

  def loop(self, loop: _Loop) -> tf.types.experimental.ConcreteFunction:
    """Returns the traced function (dataset, states, others) -> states."""

    def traced(dataset, *arguments):
      tf.graph_util.import_graph_def(
        tf.compat.v1.GraphDef(library=self.library), name=''
      )
      state, other = (
        arguments[: len(self.states)],
        arguments[len(self.states) :],
      )
      # A reduction starts when all its arguments are computed; so does a loop.
      with tf.control_dependencies(arguments):
        return loop(tf.identity(dataset), state, other)

    types = [tf.variant, *self.states, *self.others]
    specs = [tf.TensorSpec(None, dtype) for dtype in types]
    return tf.function(traced, autograph=False).get_concrete_function(*specs)

  def iterate(self, dataset, state, other) -> _Tensors:
    """Loops over the elements of any dataset."""
    output = {
      'output_types': self.elements,
      'output_shapes': [tf.TensorShape(None)] * len(self.elements),
    }
    iterator = tf.raw_ops.AnonymousIteratorV3(**output)
    with tf.control_dependencies(
      [tf.raw_ops.MakeIterator(dataset=dataset, iterator=iterator)]
    ):
      first = tf.raw_ops.IteratorGetNextAsOptional(iterator=iterator, **output)

    def body(element, *state):
      values = tf.raw_ops.OptionalGetValue(optional=element, **output)
      state = self._step(state, values, other)
      with tf.control_dependencies(state):
        following = tf.raw_ops.IteratorGetNextAsOptional(
          iterator=iterator, **output
        )
      return following, *state

    return self._while(
      lambda element, *_: tf.raw_ops.OptionalHasValue(optional=element),
      body,
      [first, *state],
    )

  def over_slices(self, packed: sliced_datasets.SlicedDataset) -> _Loop:
    """Returns a loop over the elements of a packed dataset."""

    def loop(dataset, state, other):
      tensors = packed.unpack(dataset)
      size = packed.size(tensors)

      def body(number, *state):
        state = self._step(state, packed.element(tensors, number), other)
        with tf.control_dependencies(state):
          return number + 1, *state

      return self._while(
        lambda number, *_: number < size, body, [tf.constant(0), *state]
      )

    return loop

  def _step(self, state: _Tensors, element: _Tensors, other: _Tensors):
    return tf.raw_ops.StatefulPartitionedCall(
      args=[*state, *element, *other], Tout=self.states, f=self.called
    )

  def _while(self, condition, body, variables) -> _Tensors:
    """Returns the state after a loop; the first variable is the position."""
    _, *state = tf.while_loop(
      condition,
      body,
      variables,
      shape_invariants=[tf.TensorShape([])]
      + [tf.TensorShape(None)] * len(self.states),
      parallel_iterations=1,  # Steps change variables.
    )
    return state
