from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.optimizers import lamb


def reference(weights, gradients, lr, b1, b2, eps, decay):
  """You et al. (2020), algorithm 2, in float64, tensor by tensor."""
  weights = [np.asarray(w, np.float64) for w in weights]
  m = [np.zeros_like(w) for w in weights]
  v = [np.zeros_like(w) for w in weights]
  for t, step in enumerate(gradients, start=1):
    for i, g in enumerate(step):
      m[i] = b1 * m[i] + (1 - b1) * g
      v[i] = b2 * v[i] + (1 - b2) * g**2
      u = (m[i] / (1 - b1**t)) / (np.sqrt(v[i] / (1 - b2**t)) + eps)
      u = u + decay * weights[i]
      norms = np.linalg.norm(weights[i]), np.linalg.norm(u)
      ratio = norms[0] / norms[1] if all(norms) else 1.0
      weights[i] = weights[i] - lr * ratio * u
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
  st.floats(1e-4, 0.1),
  st.floats(0, 0.99),
  st.floats(0.5, 0.999),
  st.sampled_from([0.0, 0.01]),
)
def test_follows_the_equations(seed, lr, b1, b2, decay):
  rng = np.random.default_rng(seed)
  shapes = [(3, 4), (5,), ()]
  weights = [rng.normal(size=s).astype(np.float32) for s in shapes]
  gradients = [
    [rng.normal(size=s).astype(np.float32) for s in shapes] for _ in range(4)
  ]
  optimizer = lamb.build_lamb(lr, b1, b2, 1e-6, decay)
  _, actual = run(optimizer, weights, gradients)
  expected = reference(weights, gradients, lr, b1, b2, 1e-6, decay)
  for a, e in zip(actual, expected, strict=True):
    np.testing.assert_allclose(a, e, rtol=2e-4, atol=1e-5)


def test_a_step_is_relative_to_the_norm_of_each_tensor():
  rng = np.random.default_rng(0)
  weights = [s * rng.normal(size=[50]).astype(np.float32) for s in (1e-2, 1e2)]
  gradients = [[rng.normal(size=[50]).astype(np.float32) for _ in weights]]
  _, updated = run(lamb.build_lamb(0.01), weights, gradients)
  for before, after in zip(weights, updated, strict=True):
    step = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert step == pytest.approx(0.01, rel=1e-3)


def test_a_zero_tensor_takes_adams_step_and_a_zero_gradient_none():
  zero, one = np.zeros([4], np.float32), np.ones([4], np.float32)
  _, (from_zero, from_one) = run(
    lamb.build_lamb(0.01), [zero, one], [[one, zero]]
  )
  np.testing.assert_allclose(from_zero, -0.01 * one, rtol=1e-4)
  np.testing.assert_array_equal(from_one, one)


def test_hyper_parameters_can_be_read_and_set():
  optimizer = lamb.build_lamb(0.01)
  state = optimizer.initialize((tf.TensorSpec([2]),))
  hparams = optimizer.get_hparams(state)
  hparams['learning_rate'] = 0.5
  state = optimizer.set_hparams(state, hparams)
  assert optimizer.get_hparams(state)['learning_rate'] == 0.5


def test_serves_as_a_server_optimizer():
  layers = tff.TensorType(np.float32, [2]), tff.TensorType(np.float32)
  weights = tff.types.to_type(tff.learning.models.ModelWeights(layers, ()))
  finalizer = tff.learning.templates.build_apply_optimizer_finalizer(
    lamb.build_lamb(0.01), weights
  )
  assert finalizer.next.type_signature.result.result.member == weights


@pytest.mark.parametrize(
  'bad', [dict(learning_rate=-1.0), dict(learning_rate=1.0, beta_2=1.0)]
)
def test_hyper_parameters_out_of_range_are_refused(bad):
  with pytest.raises(ValueError, match='LAMB'):
    lamb.build_lamb(**bad)
