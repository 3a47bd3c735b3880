"""The aggregation takes sizes and order from the type of the updates."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tests import plans
from tff_asr import errors
from tff_asr.privacy.mechanism import aggregation, layer_clipping

PLAN = plans.make(
  population=8,
  cohort_size=4,
  rounds=1,
  delta=1e-6,
  noise_multiplier=1.0,
  clipping=layer_clipping.LayerClipping(1.0, layer_bounds='dim'),
)
SHAPES = {'z/kernel': (3, 4), 'a': (), 'z/bias': (4,)}


def tensors(names):
  return collections.OrderedDict(
    (name, tff.TensorType(np.float32, SHAPES[name])) for name in names
  )


@pytest.mark.parametrize('names', list(itertools.permutations(SHAPES)))
def test_layers_come_in_the_order_in_which_a_query_sees_them(names):
  """Whatever their order in the type."""
  found = aggregation.layer_sizes(tff.types.to_type(tensors(names)))
  assert list(found.items()) == [('a', 1), ('z/bias', 4), ('z/kernel', 12)]
  numbered = collections.OrderedDict((n, SHAPES[n]) for n in names)
  seen = tf.nest.flatten(
    tf.nest.map_structure(
      np.prod, {n: np.zeros(s).size for n, s in numbered.items()}
    )
  )
  assert seen == list(found.values())


def test_structures_may_be_nested_or_without_names():
  nested = collections.OrderedDict(b=[*tensors(['a', 'z/bias']).values()])
  found = aggregation.layer_sizes(tff.types.to_type(nested))
  assert found == {'b/0': 1, 'b/1': 4}
  found = aggregation.layer_sizes(
    tff.types.to_type(tuple(tensors(SHAPES).values()))
  )
  assert found == {'0': 12, '1': 1, '2': 4}


@pytest.mark.parametrize(
  ('layers', 'fits'),
  [
    ({'z/kernel': 12, 'a': 1, 'z/bias': 4}, True),
    ({'a': 1, 'z/kernel': 12, 'z/bias': 4}, False),
    ({'z/kernel': 12, 'a': 1, 'z/bias': 5}, False),
    ({'z/kernel': 12, 'a': 1}, False),
  ],
)
def test_layers_without_names_must_have_the_given_sizes_in_order(layers, fits):
  value_type = tff.types.to_type(tuple(tensors(SHAPES).values()))
  factory = PLAN.aggregation_factory(layers)
  if fits:
    factory.create(value_type)
    return
  with pytest.raises(
    errors.UserError, match='differ from the layers of the updates'
  ):
    factory.create(value_type)


def test_layers_with_names_may_be_given_in_any_order_and_not_wrong():
  value_type = tff.types.to_type(tensors(SHAPES))
  for names in itertools.permutations(SHAPES):
    sizes = {name: int(np.prod(SHAPES[name])) for name in names}
    PLAN.aggregation_factory(sizes).create(value_type)
  for wrong in {**sizes, 'a': 2}, {**sizes, 'b': 1}:
    with pytest.raises(
      errors.UserError, match='differ from the layers of the updates'
    ):
      PLAN.aggregation_factory(wrong).create(value_type)


@pytest.mark.parametrize(
  ('tensor', 'message'),
  [
    (tff.TensorType(np.float64, [2]), "'x' .* float64"),
    (tff.TensorType(np.int32, [2]), 'int32'),
    (tff.TensorType(np.float32, [None]), 'fixed shape'),
  ],
)
def test_updates_of_another_kind_are_refused(tensor, message):
  value_type = tff.types.to_type(collections.OrderedDict(x=tensor))
  with pytest.raises(errors.UserError, match=message):
    PLAN.aggregation_factory().create(value_type)
