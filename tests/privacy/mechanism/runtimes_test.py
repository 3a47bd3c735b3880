"""The plan's aggregation in both runtimes, with a process of any kind."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tests import plans
from tests.privacy.updates import (
  are_independent,
  has_variance,
  is_gaussian,
  LAYERS,
  norm,
  SHAPES,
)
from tff_asr.executors import context, native
from tff_asr.privacy.mechanism import layer_clipping

PLAN = plans.make(
  population=8,
  cohort_size=4,
  rounds=1,
  delta=1e-6,
  noise_multiplier=0.0,
  clipping=layer_clipping.LayerClipping(1.0),
)
KINDS = {
  'fixed': {},
  'by block': dict(layer_groups='block', layer_bounds='dim'),
  'adaptive': dict(layer_bounds='adaptive'),
  'normalised': dict(mode='normalise'),
}


@pytest.fixture(scope='module', autouse=True, params=['device', 'native'])
def runtime(request):
  """The default one, in two slots that each have a sum, and TFF's own."""
  if request.param == 'native':
    worker = native.set_native_context()
    yield request.param
    worker.stop()
  else:
    local = context.set_local_device_context(
      clients_per_device=2, allow_native=False
    )
    yield request.param
    local.close()


def plan(kind='fixed', **changes):
  clipping = dataclasses.replace(PLAN.mechanism.clipping, **KINDS[kind])
  return plans.changed(PLAN, clipping=clipping, **changes)


def process(a_plan, layers=LAYERS, shapes=SHAPES):
  value_type = tff.types.to_type(
    collections.OrderedDict(
      (name, tff.TensorType(np.float32, shape))
      for name, shape in zip(layers, shapes, strict=True)
    )
  )
  return a_plan.aggregation_factory(layers).create(value_type)


def client(scale=1.0, seed=0):
  rng = np.random.default_rng(seed)
  return collections.OrderedDict(
    (name, (scale * rng.normal(size=shape)).astype(np.float32))
    for name, shape in zip(LAYERS, SHAPES, strict=True)
  )


def values(result):
  return [np.asarray(v) for v in tf.nest.flatten(result)]


@pytest.mark.parametrize('kind', KINDS)
def test_the_denominator_is_the_expected_cohort_whoever_answers(kind):
  """Nobody, one, more than expected; those who fail count as zero."""
  aggregation = process(plan(kind))
  state = aggregation.initialize()
  one = values(aggregation.next(state, [client(9.0)]).result)
  assert norm(one) == pytest.approx(1.0 / PLAN.cohort_size, rel=1e-5)
  assert norm(values(aggregation.next(state, []).result)) == 0.0
  failed = client(9.0)
  failed['a/bias'][2] = np.nan
  with_failed = aggregation.next(state, [client(9.0), failed, client(0.0)])
  for a, b in zip(one, values(with_failed.result), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6)
  six = values(aggregation.next(state, [client(9.0)] * 6).result)
  assert norm(six) == pytest.approx(6.0 / PLAN.cohort_size, rel=1e-5)


def test_adaptive_bounds_are_in_the_state_and_follow_the_clients():
  aggregation = process(plan('adaptive'))
  state = aggregation.initialize()
  for _ in range(30):
    output = aggregation.next(state, [client(1e-3, seed=i) for i in range(4)])
    state = output.state
  bounds = np.asarray(output.measurements['dp_query_metrics']['bounds'])
  assert np.all(bounds < 0.05)
  fixed = process(plan())
  measured = fixed.next(fixed.initialize(), []).measurements
  assert not measured['dp_query_metrics']


@pytest.mark.parametrize('kind', ['fixed', 'adaptive'])
def test_noise_in_the_runtime_is_as_planned_and_fresh(kind):
  """Between rounds from one state, and between two builds of the process.

  It is added once, whoever took part: to the sum, not to the slots' parts.
  """
  layers, shapes = {'a': 30_000, 'b': 30_000}, [(30_000,), (300, 100)]
  noisy = plan(kind, noise_multiplier=2.0)
  nobody = collections.OrderedDict(
    (name, np.zeros(shape, np.float32))
    for name, shape in zip(layers, shapes, strict=True)
  )
  bounds = tf.constant([0.5**0.5] * 2, tf.float64)
  stddevs = noisy.noised_sum(layers).noise_stddevs(bounds).numpy()
  draws = []
  for _ in range(2):
    tf.keras.utils.set_random_seed(1)
    aggregation = process(noisy, layers, shapes)
    state = aggregation.initialize()
    for cohort in [], [nobody] * 5:
      output = aggregation.next(state, cohort)
      draws += [v.ravel() for v in values(output.result)]
  for i, sample in enumerate(draws):
    stddev = stddevs[i % 2] / PLAN.cohort_size
    assert has_variance(sample, stddev, tests=len(draws))
    assert is_gaussian(sample, stddev, tests=len(draws))
    for wrong in 0.9, 1.1:
      assert not has_variance(wrong * sample, stddev, tests=len(draws))
  assert are_independent(np.array(draws, np.float64))


def test_noise_on_clip_counts_in_the_runtime_is_as_planned_and_fresh():
  """By the bounds that follow them: 40 layers, in rounds from one state."""
  layers = {f'{i:03}': 1 for i in range(40)}
  shapes = [(1,)] * 40
  noisy = plan('adaptive', noise_multiplier=2.0)
  aggregation = process(
    plans.changed(
      noisy,
      # Counts so far from 0 and from all that no share is cut off.
      cohort_size=4_000,
      population=8_000,
      clipping=dataclasses.replace(
        noisy.mechanism.clipping, count_stddev=100.0, adaptation_rate=1.0
      ),
    ),
    layers,
    shapes,
  )
  state = aggregation.initialize()
  moved = []
  for _ in range(7):
    output = aggregation.next(state, [])
    after = np.asarray(output.measurements['dp_query_metrics']['bounds'])
    moved.append(-np.log(after * 40**0.5) * 4_000)
  sample = np.ravel(moved)
  assert has_variance(sample, 100.0, 2) and is_gaussian(sample, 100.0, 2)
  assert not has_variance(2.0 * sample, 100.0)
  # Single numbers may be equal by chance: they are on a grid.
  for axis, length in enumerate(np.shape(moved)):
    assert np.unique(moved, axis=axis).shape[axis] == length


def test_an_insecure_seed_repeats_the_noise_of_a_round():
  aggregations = [
    process(plan(noise_multiplier=2.0, insecure_noise_seed=5)) for _ in range(2)
  ]
  outputs = [a.next(a.initialize(), []) for a in aggregations]
  for a, b in zip(*(values(o.result) for o in outputs), strict=True):
    np.testing.assert_array_equal(a, b)
  following = aggregations[0].next(outputs[0].state, []).result
  assert not np.array_equal(values(outputs[0].result)[0], values(following)[0])


def test_clients_cannot_be_given_weights():
  """The accountant knows none: the factory takes none."""
  factory = plan(noise_multiplier=1.0).aggregation_factory(LAYERS)
  assert isinstance(factory, tff.aggregators.UnweightedAggregationFactory)
  assert not isinstance(factory, tff.aggregators.WeightedAggregationFactory)
