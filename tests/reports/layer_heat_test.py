"""Signal and noise by layer, from what was released."""

import numpy as np
import pytest

from tests import plans
from tff_asr.privacy.mechanism import layer_clipping
from tff_asr.reports import layer_heat

LAYERS = {'a/kernel': 10_000, 'a/bias': 2}


def make(**clipping):
  return plans.make(
    population=100,
    cohort_size=10,
    rounds=3,
    delta=1e-6,
    noise_multiplier=0.5,
    clipping=layer_clipping.LayerClipping(0.5, **clipping),
  )


def metrics_of(norms, bounds=()):
  """Rows of rounds 1, 2, ...; norms by layer, bounds by layer."""
  rows = []
  for i, values in enumerate(norms):
    row = {'round': float(i + 1)}
    row |= {f'norm/{n}': v for n, v in zip(LAYERS, values, strict=True)}
    if bounds:
      row |= {f'bound/{n}': b for n, b in zip(LAYERS, bounds[i], strict=True)}
    rows.append(row)
  return rows


def test_figures_are_by_layer_and_round_with_gaps():
  rows = [{'round': 0.0}, {'round': 1.0, 'norm/a': 2.0, 'norm/b': 1.0}]
  found = layer_heat.of_metrics([*rows, {'round': 2.0, 'norm/b': 0.0}], 'norm/')
  assert found.rounds == [1, 2] and found.layers == ['a', 'b']
  np.testing.assert_array_equal(found.values, [[2, np.nan], [1, 0]])
  logarithms = layer_heat.logarithms(found).values
  assert np.isnan(logarithms[1, 1]) and logarithms[1, 0] == 0.0
  assert layer_heat.of_metrics(rows, 'bound/') is None


def test_the_noise_follows_the_bounds_of_the_round_before():
  plan = make(layer_bounds='adaptive')
  rows = metrics_of([(1, 1)] * 3, [(0.3, 0.4), (0.1, 0.2), (9, 9)])
  norms = layer_heat.of_metrics(rows, 'norm/')
  found = layer_heat.noise(plan, LAYERS, rows, norms).values.T
  expected = [
    plan.noise_norms(LAYERS).of_round(bounds)
    for bounds in (
      None,
      {'a/kernel': 0.3, 'a/bias': 0.4},
      {'a/kernel': 0.1, 'a/bias': 0.2},
    )
  ]
  np.testing.assert_array_equal(found, [list(e.values()) for e in expected])
  # Where the bounds are not known, neither is the noise.
  norms = layer_heat.of_metrics(rows[2:], 'norm/')
  assert np.isnan(layer_heat.noise(plan, LAYERS, rows[2:], norms).values).all()


def test_fixed_bounds_have_the_same_noise_in_every_round():
  rows = metrics_of([(1, 1)] * 2)
  plan = make()
  found = layer_heat.noise(
    plan, LAYERS, rows, layer_heat.of_metrics(rows, 'norm/')
  )
  expected = list(plan.noise_norms(LAYERS).of_round().values())
  np.testing.assert_array_equal(found.values.T, [expected] * 2)


def test_a_signal_is_told_from_noise_and_noise_from_a_signal():
  """With a norm that holds both; none is seen where chance could have it."""
  plan = make()
  noise = np.array(list(plan.noise_norms(LAYERS).of_round().values()))
  both = noise * np.sqrt(1 + np.array([[10.0], [0.1], [0.0], [-0.5]]))
  rows = metrics_of(both)
  norms = layer_heat.of_metrics(rows, 'norm/')
  noises = layer_heat.noise(plan, LAYERS, rows, norms)
  found = layer_heat.signal_to_noise(norms, noises, LAYERS).values
  assert found[0, :2] == pytest.approx([10.0, -10.0])
  assert found[1, 0] == pytest.approx(10.0)
  assert np.isnan(found[1, 1]), 'two coordinates stray by their whole energy'
  assert np.isnan(found[:, 2:]).all()
  share = layer_heat.share_of_noise(norms, noises)
  assert share == pytest.approx([1 / 11, 1 / 1.1, 1.0, 1.0])
