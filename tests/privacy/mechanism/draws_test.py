"""A plan draws each value at the server once, and no client sees one."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow_federated as tff

from tests import plans
from tests.privacy.updates import LAYERS, SHAPES
from tff_asr.executors import decomposition
from tff_asr.privacy.mechanism import layer_clipping

PLAN = plans.make(
  population=8,
  cohort_size=4,
  rounds=1,
  delta=1e-6,
  noise_multiplier=1.0,
  clipping=layer_clipping.LayerClipping(1.0),
)


@pytest.mark.parametrize(
  'changes',
  [
    {},
    dict(layer_bounds='adaptive'),
    dict(layer_groups='block', layer_bounds='dim'),
    dict(mode='normalise'),
  ],
  ids=['fixed', 'adaptive', 'by block', 'normalised'],
)
def test_no_aggregation_of_a_plan_broadcasts_what_it_draws(changes):
  clipping = dataclasses.replace(PLAN.mechanism.clipping, **changes)
  plan = plans.changed(PLAN, clipping=clipping)
  value_type = tff.types.to_type(
    collections.OrderedDict(
      (name, tff.TensorType(np.float32, shape))
      for name, shape in zip(LAYERS, SHAPES, strict=True)
    )
  )
  process = plan.aggregation_factory(LAYERS).create(value_type)
  assert len(decomposition.decompose(process.next)) == 1
