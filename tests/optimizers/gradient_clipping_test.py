from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.optimizers import gradient_clipping


def step(clip_norm, gradients):
  """What SGD of step 1 takes off zero weights."""
  optimizer = gradient_clipping.build_gradient_clipping(
    tff.learning.optimizers.build_sgdm(1.0), clip_norm
  )
  weights = tuple(tf.zeros_like(g) for g in gradients)
  state = optimizer.initialize(
    tuple(tf.TensorSpec(w.shape, w.dtype) for w in weights)
  )
  _, weights = optimizer.next(state, weights, tuple(gradients))
  return [-w.numpy() for w in weights]


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_the_step_has_the_gradients_direction_and_a_bounded_norm(
  clip_norm, scale, seed
):
  rng = np.random.default_rng(seed)
  gradients = [
    (scale * rng.normal(size=s)).astype(np.float32) for s in [(3,), (2, 2)]
  ]
  norm = np.sqrt(sum(np.sum(np.square(g)) for g in gradients))
  factor = min(1.0, clip_norm / norm)
  for taken, gradient in zip(
    step(clip_norm, gradients), gradients, strict=True
  ):
    np.testing.assert_allclose(taken, factor * gradient, rtol=1e-4)


def test_a_gradient_that_is_not_finite_spoils_the_whole_step():
  taken = step(1.0, [np.float32([np.inf, 1]), np.float32([1])])
  assert not any(np.isfinite(t).any() for t in taken)


@pytest.mark.parametrize('clip_norm', [0.0, -1.0, float('nan')])
def test_the_norm_must_be_positive(clip_norm):
  with pytest.raises(ValueError, match='positive'):
    gradient_clipping.build_gradient_clipping(
      tff.learning.optimizers.build_sgdm(1.0), clip_norm
    )
