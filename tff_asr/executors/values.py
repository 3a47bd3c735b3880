"""Conversion between TFF's values and flat lists of tensors.

A value of a structured type becomes the list of its leaves, in the order of the
type.  A sequence is one leaf: a variant tensor that holds a `tf.data.Dataset`.
"""

from collections.abc import Iterator, Sequence
import math
from typing import Any
import weakref

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.executors import datasets

# Tensors that share their memory with an array from `pack`, by the array's id.
# An entry lives as long as its array.
_shared: dict[int, tf.Tensor] = {}


def dtype_of(type_spec: tff.TensorType) -> tf.DType:
  """Returns TensorFlow's type of a tensor's elements."""
  if type_spec.dtype.type is np.str_:
    return tf.string
  return tf.as_dtype(type_spec.dtype)


def specs(type_spec: tff.Type | None) -> list[tf.TensorSpec]:
  """Returns the specs of a type's leaves; placements are ignored."""
  if type_spec is None:
    return []
  if isinstance(type_spec, tff.FederatedType):
    return specs(type_spec.member)
  if isinstance(type_spec, tff.StructType):
    return [spec for element in type_spec for spec in specs(element)]
  if isinstance(type_spec, tff.SequenceType):
    return [tf.TensorSpec([], tf.variant)]
  return [tf.TensorSpec(type_spec.shape, dtype_of(type_spec))]


def flatten(value: Any, type_spec: tff.Type) -> list[tf.Tensor]:
  """Returns the leaves of a value.

  Args:
    value: Any value that a TFF computation accepts as argument of this type.
    type_spec: A type without functions and without values placed at clients.

  Raises:
    TypeError: If the value is not of the type.
  """
  if isinstance(type_spec, tff.FederatedType):
    return flatten(value, type_spec.member)
  if isinstance(type_spec, tff.StructType):
    return _flatten_struct(value, type_spec)
  if isinstance(type_spec, tff.SequenceType):
    return [_sequence(value, type_spec)]
  return [_tensor(value, type_spec)]


def _flatten_struct(value, type_spec):
  try:
    struct = tff.structure.from_container(value)
  except TypeError as error:
    raise TypeError(
      f'Expected a value of type {type_spec}, found {type(value)}.'
    ) from error
  names = tff.structure.name_list_with_nones(type_spec)
  given = tff.structure.name_list_with_nones(struct)
  if len(given) != len(names) or any(
    name not in (None, expected)
    for name, expected in zip(given, names, strict=True)
  ):
    raise TypeError(
      f'Expected the elements {names} of {type_spec}, found {given}.'
    )
  return [
    leaf
    for element, element_type in zip(struct, type_spec, strict=True)
    for leaf in flatten(element, element_type)
  ]


def _tensor(value, type_spec: tff.TensorType) -> tf.Tensor:
  dtype = dtype_of(type_spec)
  shared = _shared.get(id(value))
  if shared is not None and _is_unchanged(value, shared):
    value = shared
  if isinstance(value, tf.Variable):
    value = value.read_value()
  elif isinstance(value, np.generic | np.ndarray):
    # NumPy has several types for text.  Types of numbers must be compatible.
    if value.dtype.kind in 'OSU' and dtype == tf.string:
      value = value.astype(object)
    elif np.can_cast(value.dtype, type_spec.dtype):
      value = value.astype(type_spec.dtype)
    else:
      raise TypeError(f'Expected {type_spec}, found {value.dtype}.')
  try:
    tensor = tf.convert_to_tensor(value, dtype)
  except (TypeError, ValueError) as error:
    raise TypeError(f'Expected {type_spec}, found {value!r:.200}.') from error
  if isinstance(value, int | float) and not _is_in_range(value, tensor):
    raise TypeError(f'{value} is out of the range of {type_spec}.')
  if not tensor.shape.is_compatible_with(type_spec.shape):
    raise TypeError(f'Expected {type_spec}, found the shape {tensor.shape}.')
  return tensor


def _is_unchanged(array: np.ndarray, tensor: tf.Tensor) -> bool:
  """Returns whether an array still has its tensor's memory, shape and type."""
  found, expected = (
    a.__array_interface__ for a in (array, np.asarray(memoryview(tensor)))
  )
  return found == expected


def _is_in_range(value: int | float, tensor: tf.Tensor) -> bool:
  """Returns whether a tensor has a number's value, apart from rounding."""
  if tensor.dtype.is_integer:
    return int(tensor) == value
  return not math.isfinite(value) or bool(np.isfinite(tensor))


def _sequence(value, type_spec: tff.SequenceType) -> tf.Tensor:
  if isinstance(value, tf.data.Dataset):
    found = tff.SequenceType(tff.types.tensorflow_to_type(value.element_spec))
    if not type_spec.is_assignable_from(found):
      raise TypeError(f'Expected {type_spec}, found {found}.')
    return datasets.to_variant(value)
  # TFF converts a list to a dataset.
  proto, _ = tff.framework.serialize_value(value, type_spec)
  return tf.raw_ops.DatasetFromGraph(
    graph_def=proto.sequence.serialized_graph_def
  )


def pack(leaves: Sequence[tf.Tensor], type_spec: tff.Type) -> Any:
  """Returns the value with the given leaves; the inverse of `flatten`.

  Returns:
    The value in the same containers that TFF's own runtime returns: read-only
    NumPy arrays and scalars, and a `tf.data.Dataset` for a sequence.  An array
    shares the memory of its tensor.  No copy is made, neither here nor when the
    array is an argument later, so memory holds the state of a large model once.
  """
  rest = iter(leaves)
  packed = _pack(rest, type_spec)
  assert next(rest, None) is None
  return tff.types.type_to_py_container(packed, type_spec)


def _pack(leaves: Iterator[tf.Tensor], type_spec):
  if isinstance(type_spec, tff.FederatedType):
    return _pack(leaves, type_spec.member)
  if isinstance(type_spec, tff.StructType):
    return tff.structure.Struct(
      (name, _pack(leaves, element))
      for name, element in tff.structure.iter_elements(type_spec)
    )
  leaf = next(leaves)
  if isinstance(type_spec, tff.SequenceType):
    element = tff.types.type_to_py_container(
      tff.types.type_to_tf_tensor_specs(type_spec.element), type_spec.element
    )
    return tf.data.experimental.from_variant(leaf, element)
  return _array(leaf)


def _array(tensor: tf.Tensor) -> Any:
  """Returns a tensor's value, without a copy if possible."""
  has_buffer = np.dtype(tensor.dtype.as_numpy_dtype).kind in 'biufc'
  if not tensor.shape.rank or not has_buffer or 'CPU' not in tensor.device:
    return tensor.numpy()
  array = np.asarray(memoryview(tensor))
  _shared[id(array)] = tensor
  weakref.finalize(array, _shared.pop, id(array)).atexit = False
  return array
