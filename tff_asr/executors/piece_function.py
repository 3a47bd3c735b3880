"""Functions that run pieces of graphs one after the other."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import threading

import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from tff_asr.executors import graph_piece, interruption

_Tensors = Sequence[tf.Tensor]
# Writes a piece into the graph: from the piece's arguments to its results.
Call = Callable[[graph_piece.GraphPiece, _Tensors], list[tf.Tensor]]

_Rewriter = rewriter_config_pb2.RewriterConfig


def _rewrites(**options) -> tf.compat.v1.ConfigProto:
  # As TensorFlow's own options: an operation may name a device that is missing.
  config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
  config.graph_options.rewrite_options.MergeFrom(_Rewriter(**options))
  return config


AS_WRITTEN = _rewrites(disable_meta_optimizer=True)
"""TensorFlow runs the graph as it is: for small graphs that run seldom."""

IN_ONE_PASS = _rewrites(
  meta_optimizer_iterations=_Rewriter.ONE,
  function_optimization=_Rewriter.OFF,
  loop_optimization=_Rewriter.OFF,
  memory_optimization=_Rewriter.NO_MEM_OPT,
  shape_optimization=_Rewriter.OFF,
)
"""TensorFlow rewrites the graph once, by the rewrites that find something."""


class PieceFunction:
  """A function whose pieces are traced together, once.

  The function runs on the device of the caller's device scope.  Several threads
  may call the function at the same time, each with its own variables.  All
  calls draw from one stream of random numbers, also if the seed is given.
  """

  def __init__(
    self,
    pieces: Sequence[graph_piece.GraphPiece],
    signature: Sequence[tf.TensorSpec],
    body: Callable[[Call, list[tf.Tensor]], _Tensors],
    seed_shift: int = 0,
    rows: int = 0,
    rewrites: tf.compat.v1.ConfigProto = AS_WRITTEN,
  ):
    """Traces the function.

    Args:
      pieces: Pieces of the function; the body calls each once.
      signature: Specs of the function's arguments.
      body: Returns the results, given a `Call` and the arguments.
      seed_shift: See `GraphPiece.call`.
      rows: Number of first arguments that have a new axis with a row for each
        run of the body.  The body runs once for each row, in order, and its
        results are the last arguments of its next run.
      rewrites: `AS_WRITTEN` or `IN_ONE_PASS`.
    """
    self._pieces = pieces
    self._rewrites = rewrites
    # The first call creates the stream of random numbers.  If several first
    # calls ran at once, each would create its own stream from the same seed.
    self._is_first = any(piece.has_fixed_seeds for piece in pieces)
    self._first = threading.Lock()
    handles = [
      tf.TensorSpec([], tf.resource) for p in pieces for _ in p.variables
    ]

    def traced(*arguments):
      variables = iter(arguments[len(signature) :])

      def call(piece, piece_arguments):
        of_piece = [next(variables) for _ in piece.variables]
        return piece.call(piece_arguments, of_piece, seed_shift)

      return list(body(call, list(arguments[: len(signature)])))

    whole = [*signature, *handles]
    graph = tf.compat.v1.wrap_function(traced, whole)
    run = graph
    if rows:
      run = _loop(graph, signature, rows)
      whole[:rows] = [
        tf.TensorSpec([None, *spec.shape], spec.dtype) for spec in whole[:rows]
      ]
    # TensorFlow does not optimise a wrapped function that is called directly.
    self._function = tf.function(
      lambda *arguments: run(*arguments), autograph=False
    ).get_concrete_function(*whole)

  @contextlib.contextmanager
  def variables(self) -> Iterator[list[tf.Tensor]]:
    """Yields variables for calls that run one after the other."""
    handles = [v for piece in self._pieces for v in piece.create_variables()]
    try:
      yield handles
    finally:
      graph_piece.destroy_variables(handles)

  def __call__(
    self, arguments: _Tensors, variables: _Tensors | None = None
  ) -> list[tf.Tensor]:
    """Calls the function, which initialises its variables in every call.

    Args:
      arguments: Arguments of the function.
      variables: Handles from `variables()`; by default new ones for this call.
    """
    if variables is None:
      with self.variables() as variables:
        return self(arguments, variables)
    inputs = [*arguments, *variables]
    if self._is_first:
      with self._first:
        if self._is_first:
          results = self._run(inputs)
          self._is_first = False
          return results
    return self._run(inputs)

  def _run(self, inputs: _Tensors) -> list[tf.Tensor]:
    return interruption.call(self._function, inputs, self._rewrites)


def _loop(
  graph: Callable[..., list[tf.Tensor]],
  signature: Sequence[tf.TensorSpec],
  rows: int,
) -> Callable[..., list[tf.Tensor]]:
  """Returns a function that runs a graph for each row of some arguments.

  Args:
    graph: Function of one row, other arguments, the results of the run before,
      and handles of variables.
    signature: Specs of the arguments of a run, without the handles.
    rows: Number of arguments that have rows.
  """

  def loop(*arguments):
    of_rows, others = arguments[:rows], arguments[rows : len(signature)]
    handles = arguments[len(signature) :]
    results = len(graph.outputs)
    shared, first = others[: -results or None], others[len(others) - results :]
    shapes = [s.shape for s in signature[len(signature) - results :]]

    def body(number, *before):
      row = [tf.gather(tensor, number) for tensor in of_rows]
      after = graph(*row, *shared, *before, *handles) or []
      for tensor, shape in zip(after, shapes, strict=True):
        tensor.set_shape(shape)
      with tf.control_dependencies(after):
        return number + 1, *after

    size = tf.shape(of_rows[0])[0]
    _, *last = tf.while_loop(
      lambda number, *_: number < size,
      body,
      [tf.constant(0), *first],
      shape_invariants=[tf.TensorShape([]), *shapes],
      parallel_iterations=1,  # The runs share variables.
    )
    return last

  return loop


def single(
  piece: graph_piece.GraphPiece,
  signature: Sequence[tf.TensorSpec],
  rewrites: tf.compat.v1.ConfigProto = AS_WRITTEN,
) -> PieceFunction:
  """Returns a function that runs a single piece; see `PieceFunction`."""
  return PieceFunction(
    [piece],
    signature,
    lambda call, arguments: call(piece, arguments),
    rewrites=rewrites,
  )
