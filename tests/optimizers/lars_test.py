from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.optimizers import lars


def reference(weights, gradients, lr, momentum, trust, decay):
  """You et al. (2017), algorithm 1, in float64, tensor by tensor."""
  weights = [np.asarray(w, np.float64) for w in weights]
  v = [np.zeros_like(w) for w in weights]
  for step in gradients:
    for i, g in enumerate(step):
      norms = np.linalg.norm(weights[i]), np.linalg.norm(g)
      local = trust * norms[0] / (norms[1] + decay * norms[0])
      v[i] = momentum * v[i] + lr * local * (g + decay * weights[i])
      weights[i] = weights[i] - v[i]
  return weights


def run(optimizer, weights, gradients):
  specs = [tf.TensorSpec(w.shape, tf.float32) for w in weights]
  state = optimizer.initialize(tuple(specs))
  weights = tuple(map(tf.constant, weights))
  for step in gradients:
    state, weights = optimizer.next(state, weights, tuple(step))
  return state, weights


@settings(max_examples=20, deadline=None)
@given(
  st.integers(0, 2**31),
  st.floats(0.01, 5.0),
  st.floats(0, 0.99),
  st.floats(1e-4, 0.1),
  st.sampled_from([0.0, 0.01]),
)
def test_follows_the_equations(seed, lr, momentum, trust, decay):
  rng = np.random.default_rng(seed)
  shapes = [(3, 4), (5,), ()]
  weights = [rng.normal(size=s).astype(np.float32) for s in shapes]
  gradients = [
    [rng.normal(size=s).astype(np.float32) for s in shapes] for _ in range(4)
  ]
  optimizer = lars.build_lars(lr, momentum, trust, decay, epsilon=0.0)
  _, actual = run(optimizer, weights, gradients)
  expected = reference(weights, gradients, lr, momentum, trust, decay)
  for a, e in zip(actual, expected, strict=True):
    np.testing.assert_allclose(a, e, rtol=2e-4, atol=1e-5)


def test_a_step_is_relative_to_the_norm_of_each_tensor():
  """Whatever the gradients; so the first step is learning rate times trust."""
  rng = np.random.default_rng(0)
  weights = [s * rng.normal(size=[50]).astype(np.float32) for s in (1e-2, 1e2)]
  gradients = [
    [s * rng.normal(size=[50]).astype(np.float32) for s in (1e3, 1e-3)]
  ]
  _, updated = run(lars.build_lars(5.0, epsilon=0.0), weights, gradients)
  for before, after in zip(weights, updated, strict=True):
    step = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert step == pytest.approx(0.005, rel=1e-3)


def test_a_new_rate_leaves_earlier_steps_in_the_velocity_as_they_were():
  """As in the article, and unlike the momentum of many frameworks."""
  optimizer = lars.build_lars(1.0, momentum=0.5)
  weight, gradient = np.ones([4], np.float32), np.ones([4], np.float32)
  state, (first,) = run(optimizer, [weight], [[gradient]])
  hparams = optimizer.get_hparams(state)
  hparams['learning_rate'] = 0.0
  state = optimizer.set_hparams(state, hparams)
  _, (second,) = optimizer.next(state, (first,), (gradient,))
  np.testing.assert_allclose(first - second, 0.5 * (weight - first), rtol=1e-4)


def test_a_zero_tensor_takes_a_plain_step_and_a_zero_gradient_none():
  zero, one = np.zeros([4], np.float32), np.ones([4], np.float32)
  _, (from_zero, from_one) = run(
    lars.build_lars(0.01), [zero, one], [[one, zero]]
  )
  np.testing.assert_allclose(from_zero, -0.01 * one, rtol=1e-4)
  np.testing.assert_array_equal(from_one, one)


def test_serves_as_a_server_optimizer():
  layers = tff.TensorType(np.float32, [2]), tff.TensorType(np.float32)
  weights = tff.types.to_type(tff.learning.models.ModelWeights(layers, ()))
  finalizer = tff.learning.templates.build_apply_optimizer_finalizer(
    lars.build_lars(0.01), weights
  )
  assert finalizer.next.type_signature.result.result.member == weights


@pytest.mark.parametrize(
  'bad',
  [
    dict(learning_rate=-1.0),
    dict(learning_rate=float('nan')),
    dict(learning_rate=1.0, momentum=1.0),
    dict(learning_rate=1.0, trust_coefficient=0.0),
  ],
)
def test_hyper_parameters_out_of_range_are_refused(bad):
  with pytest.raises(ValueError, match='LARS'):
    lars.build_lars(**bad)
