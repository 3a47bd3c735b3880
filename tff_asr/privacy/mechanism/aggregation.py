"""Aggregates client updates under a privacy plan."""

from collections.abc import Callable, Iterator, Mapping
import math
import re

import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from tff_asr import errors


class PrivateAggregation(tff.aggregators.UnweightedAggregationFactory):
  """Clips, sums, adds noise and divides, by a query of the plan.

  Clipping bounds and noise depend on the sizes of the tensors.  The sizes come
  from the type of the updates.
  """

  def __init__(
    self,
    query: Callable[[Mapping[str, int]], tfp.DPQuery],
    layers: Mapping[str, int] | None = None,
  ):
    """Builds the factory.

    Args:
      query: Returns the plan's query for the sizes of the tensors by name.
      layers: Names and sizes of the tensors, in the order of
        `tf.nest.flatten`; by default the names in the type.
    """
    self._query = query
    self._layers = layers

  def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
    """Returns the aggregation process for a type of updates.

    Raises:
      UserError: If a tensor is not of float32 or has no fixed shape, or the
        layers of the type have other names or sizes.
    """
    layers = layer_sizes(value_type)
    if self._layers is not None:
      layers = _named(layers, self._layers)
    query = self._query(layers)
    return tff.aggregators.DifferentiallyPrivateFactory(query).create(
      value_type
    )


def layer_sizes(value_type: tff.Type) -> dict[str, int]:
  """Returns the number of coordinates of each tensor in a type, by name.

  The tensors are in the order of `tf.nest.flatten`, which sorts the names in a
  structure.  A query sees the tensors in this order.

  Args:
    value_type: Type of the updates.  An element without a name has its number
      as its name.

  Raises:
    UserError: If a tensor is not of float32 or has no fixed shape.
  """
  sizes = {}
  for name, spec in _by_name(tff.types.type_to_tf_tensor_specs(value_type)):
    errors.require(
      spec.dtype == tf.float32 and spec.shape.is_fully_defined(),
      f'Tensor {name!r} of the updates is {spec.dtype.name} of shape'
      f' {spec.shape}: use float32 and a fixed shape.',
    )
    sizes[name] = math.prod(spec.shape)
  return sizes


def _by_name(specs, name: str = '') -> Iterator[tuple[str, tf.TensorSpec]]:
  if isinstance(specs, tf.TensorSpec):
    yield name, specs
    return
  is_mapping = isinstance(specs, Mapping)
  elements = sorted(specs.items()) if is_mapping else enumerate(specs)
  for key, element in elements:
    yield from _by_name(element, f'{name}/{key}' if name else str(key))


def _named(
  found: Mapping[str, int], expected: Mapping[str, int]
) -> Mapping[str, int]:
  """Returns the layers of a type under their expected names."""
  if all(re.fullmatch('[0-9/]*', name) for name in found):  # Has no names.
    named, fits = expected, [*found.values()] == [*expected.values()]
  else:
    named, fits = found, dict(found) == dict(expected)
  errors.require(
    fits,
    f'The given layers {dict(expected)} differ from the layers of the updates,'
    f' {dict(found)}: give the layer sizes of this model, in its order.',
  )
  return named
