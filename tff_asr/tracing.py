"""Functions that TensorFlow traces once, and as they are written."""

from collections.abc import Callable, Sequence

import tensorflow as tf

_FEW_TENSORS = 80  # TensorFlow optimises their operations in a second.

unconverted = tf.autograph.experimental.do_not_convert
"""Decorates a function that AutoGraph leaves as it is, with all its calls.

AutoGraph turns Python's conditions and loops on tensors into operations.  The
conversion of a function without such conditions takes up to 0.3 s for nothing.
"""


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


def for_each(
  function: tf.types.experimental.GenericFunction,
  *arguments: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
  """Returns a function's results for each tensor of a model.

  If the model has few tensors, the graph repeats the operations for each: every
  call of a function costs as much time as ten small operations.

  Args:
    function: Result of `once_per_shape`.
    *arguments: The function's arguments; each has an entry for each tensor.
  """
  is_large = len(arguments[0]) > _FEW_TENSORS
  run = function if is_large else function.python_function
  return [run(*of_tensor) for of_tensor in zip(*arguments, strict=True)]
