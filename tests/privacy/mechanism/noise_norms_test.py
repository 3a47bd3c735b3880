"""What is said of the noise is what the query adds."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests import plans
from tests.privacy.updates import has_variance
from tff_asr.privacy.mechanism import allocation, grouping, layer_clipping

# Sizes at which a tenth of the scale is seen at the stated rate.
LAYERS = {'a/kernel': 20_000, 'a/bias': 15_000, 'b/kernel': 30_000}


def make(noise_allocation='equal', **clipping):
  return plans.make(
    population=100,
    cohort_size=10,
    rounds=5,
    delta=1e-6,
    noise_multiplier=0.7,
    clipping=layer_clipping.LayerClipping(0.5, **clipping),
    noise_allocation=noise_allocation,
  )


def noise_of_a_round(plan, bounds):
  """What a plan's query makes of no update at all, by tensor."""
  query = plan.query(LAYERS)
  state = query.initial_global_state()
  if bounds:
    values = tf.constant(list(bounds.values()), tf.float64)
    state = state._replace(
      numerator_state=state.numerator_state._replace(bounds=values)
    )
  zeros = query.initial_sample_state(
    tuple(tf.TensorSpec([size], tf.float32) for size in LAYERS.values())
  )
  mean, _, _ = query.get_noised_result(zeros, state)
  return [np.asarray(tensor, np.float64) for tensor in mean]


@pytest.mark.parametrize(
  ('plan', 'bounds'),
  [
    *((make(name, layer_bounds='dim'), None) for name in allocation.NAMES),
    (make('per_layer', layer_groups=grouping.BLOCK), None),
    (make(layer_groups=grouping.MODEL), None),
    (make(layer_bounds='adaptive'), None),
    (
      make('optimal', layer_bounds='adaptive'),
      {'a/kernel': 0.1, 'a/bias': 2.0, 'b/kernel': 0.3},
    ),
  ],
)
def test_the_noise_on_each_layer_is_as_large_as_is_said(plan, bounds):
  """A false alarm in a billion; a tenth more or less is noticed."""
  norms = plan.noise_norms(LAYERS).of_round(bounds)
  samples = noise_of_a_round(plan, bounds)
  for (name, size), sample in zip(LAYERS.items(), samples, strict=True):
    stddev = norms[name] / math.sqrt(size)
    assert has_variance(sample, stddev, len(LAYERS))
    for wrong in 0.9, 1.1:
      assert not has_variance(wrong * sample, stddev, len(LAYERS))
