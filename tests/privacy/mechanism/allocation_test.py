"""Every allocation has the joint multiplier it is asked for."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from tff_asr.privacy.mechanism import allocation, bounds

LAYERS = st.lists(
  st.tuples(st.floats(1e-6, 1e3), st.integers(1, 10**7)),
  min_size=1,
  max_size=40,
)


def stddevs(name, multiplier, layer_bounds, sizes):
  return allocation.standard_deviations(
    name, multiplier, tf.constant(layer_bounds, tf.float64), sizes
  ).numpy()


def energy(sigmas, sizes):
  return float(np.sum(np.array(sizes, np.float64) * sigmas**2))


@pytest.mark.parametrize('name', allocation.NAMES)
@settings(max_examples=60, deadline=None)
@given(LAYERS, st.floats(1e-3, 100))
def test_the_joint_multiplier_is_as_asked(name, layers, multiplier):
  """z = (sum C_h^2 / sigma_h^2)^(-1/2)."""
  layer_bounds, sizes = map(np.array, zip(*layers, strict=True))
  sigmas = stddevs(name, multiplier, layer_bounds, list(sizes))
  joint = np.sum((layer_bounds / sigmas) ** 2) ** -0.5
  assert joint == pytest.approx(multiplier, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(LAYERS)
def test_optimal_has_the_least_energy(layers):
  layer_bounds, sizes = map(list, zip(*layers, strict=True))
  least = energy(stddevs('optimal', 1.0, layer_bounds, sizes), sizes)
  for other in 'equal', 'per_layer':
    sigmas = stddevs(other, 1.0, layer_bounds, sizes)
    assert least <= energy(sigmas, sizes) * (1 + 1e-9)
  attained = sum(c * math.sqrt(d) for c, d in layers) ** 2
  assert least == pytest.approx(attained, rel=1e-9)


def test_a_numerical_search_finds_nothing_better():
  layer_bounds, sizes = np.array([0.1, 0.5, 2.0]), [1_000, 10, 3]

  def scaled_energy(logs):
    sigmas = np.exp(logs)
    joint = np.sum((layer_bounds / sigmas) ** 2) ** -0.5
    return energy(sigmas / joint, sizes)

  found = scipy.optimize.minimize(scaled_energy, np.zeros(3), tol=1e-12).fun
  least = energy(stddevs('optimal', 1.0, layer_bounds, sizes), sizes)
  assert least == pytest.approx(found, rel=1e-6)


def test_equal_noise_is_optimal_for_bounds_by_size():
  sizes = [7, 300, 41]
  layer_bounds = bounds.dim(0.3, sizes)
  np.testing.assert_allclose(
    stddevs('optimal', 2.0, layer_bounds, sizes),
    stddevs('equal', 2.0, layer_bounds, sizes),
  )


def test_per_layer_noise_is_in_proportion_to_the_bounds():
  ratios = stddevs('per_layer', 2.0, [0.1, 3.0], [5, 6]) / [0.1, 3.0]
  np.testing.assert_allclose(ratios, 2.0 * math.sqrt(2))


def test_an_unknown_allocation_is_refused():
  with pytest.raises(ValueError, match='thirds'):
    stddevs('thirds', 1.0, [1.0], [1])
