"""Functions that a graph stores once and calls for many tensors."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def once_per_shape(
  function: Callable,
  input_signature: Sequence[tf.TensorSpec] | None = None,
) -> tf.types.experimental.GenericFunction:
  """Returns a function that a graph stores once and calls for each tensor.

  A model has hundreds of tensors.  A graph that repeats the operations for each
  tensor takes hundreds of times longer to trace, optimise and send.  The
  returned function forbids TensorFlow to replace its calls by its operations.

  Args:
    function: A function from tensors to tensors, without captured tensors.
    input_signature: Specs of the arguments; by default the function is traced
      once for each combination of shapes and types.
  """
  return tf.function(
    function,
    input_signature=input_signature,
    autograph=False,
    experimental_attributes={'_noinline': True},
  )
