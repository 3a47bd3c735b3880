"""Small graphs: what is done with each of many tensors is held once."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def once_per_shape(
  function: Callable,
  input_signature: Sequence[tf.TensorSpec] | None = None,
) -> tf.types.experimental.GenericFunction:
  """Lets a graph hold a function once, and call it for each tensor.

  A graph with the operations themselves, for each of the hundreds of tensors of
  a model, takes as many times longer to make, to optimise and to ship.
  TensorFlow is kept from putting them in the place of the calls.

  Args:
    function: Takes and returns tensors; captures none.
    input_signature: What it is traced with; by default it is traced once for
      each combination of shapes and types.
  """
  return tf.function(
    function,
    input_signature=input_signature,
    autograph=False,
    experimental_attributes={'_noinline': True},
  )
