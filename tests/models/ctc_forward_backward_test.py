"""The CTC loss in plain operations is the kernel's, and does what that cannot.

The references compute in float64: TensorFlow's kernel, and the sum over all
paths of a short utterance.
"""

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf

from tff_asr.models import ctc, ctc_forward_backward
from tff_asr.text import vocabularies

SIZE = 6
# Few tokens, so that many are repeated.
TEXTS = st.lists(
  st.tuples(
    st.lists(st.integers(1, SIZE - 1), min_size=1, max_size=10),
    st.integers(0, 12),
  ),
  min_size=1,
  max_size=4,
)
SEEDS = st.integers(0, 999)


def value_and_gradient(loss, logits, *rest):
  with tf.GradientTape() as tape:
    tape.watch(logits)
    losses = loss(logits, *rest)
  return losses, tape.gradient(losses, logits)


def specs():
  return (
    tf.TensorSpec([None, None, SIZE]),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None], tf.int32),
  )


def traced(loss, **options):
  return tf.function(
    lambda *batch: value_and_gradient(loss, *batch),
    input_signature=specs(),
    autograph=False,
    **options,
  )


PLAIN = traced(ctc_forward_backward.loss)


def kernel(logits, *rest):
  return value_and_gradient(ctc.loss, tf.cast(logits, tf.float64), *rest)


def make_batch(texts, seed, scale=1.0):
  """A batch of `(tokens, frames that could be missing)`, padded by anything."""
  rng = np.random.default_rng(seed)
  lengths = [vocabularies.ctc_frames(t) + more for t, more in texts]
  frames = max(1, *lengths) + seed % 3
  tokens = rng.integers(
    0, SIZE, [len(texts), max(len(t) for t, _ in texts) + seed % 2]
  )
  for row, (text, _) in zip(tokens, texts, strict=True):
    row[: len(text)] = text
  logits = scale * rng.normal(size=[len(texts), frames, SIZE])
  return (
    tf.constant(logits, tf.float32),
    tf.constant(lengths, tf.int32),
    tf.constant(tokens, tf.int32),
    tf.constant([len(text) for text, _ in texts], tf.int32),
  )


def assert_same(found, expected, tolerance=1e-4):
  """Losses are the same relative to their size, gradients absolutely."""
  np.testing.assert_allclose(found[0], expected[0], rtol=tolerance)
  np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=tolerance)


def sum_over_paths(logits, tokens):
  """Loss and gradient of an utterance, from the probability of every path."""
  logits = np.asarray(logits, np.float64)
  log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
  frames, size = logits.shape
  paths = [
    path
    for path in itertools.product(range(size), repeat=frames)
    if [t for t, _ in itertools.groupby(path) if t] == list(tokens)
  ]
  scores = [log_probs[np.arange(frames), list(path)].sum() for path in paths]
  total = np.logaddexp.reduce(scores)
  gradient = np.exp(log_probs)
  for path, score in zip(paths, scores, strict=True):
    gradient[np.arange(frames), list(path)] -= np.exp(score - total)
  return -total, gradient


@settings(max_examples=60, deadline=None)
@given(TEXTS, SEEDS, st.sampled_from([0.1, 1.0, 5.0]))
def test_losses_and_gradients_are_those_of_the_kernel(texts, seed, scale):
  logits, *rest = make_batch(texts, seed, scale)
  assert_same(PLAIN(logits, *rest), kernel(logits, *rest))


@pytest.mark.parametrize(('frames', 'length'), [(1500, 1), (1500, 700)])
def test_a_long_utterance_loses_no_accuracy(frames, length):
  rng = np.random.default_rng(0)
  tokens = rng.integers(1, SIZE, length)
  missing = frames - vocabularies.ctc_frames(tokens.tolist())
  logits, *rest = make_batch([(tokens.tolist(), missing)], 0)
  expected = kernel(logits, *rest)
  assert_same(PLAIN(logits, *rest), expected)


@settings(max_examples=30, deadline=None)
@given(
  st.lists(st.integers(1, 2), max_size=3),
  st.integers(0, 3),
  SEEDS,
  st.booleans(),
)
def test_a_loss_is_the_sum_over_all_paths(tokens, more, seed, extreme):
  """Also of a text without tokens, and of logits of 10,000."""
  frames = max(1, vocabularies.ctc_frames(tokens)) + more
  rng = np.random.default_rng(seed)
  logits = rng.integers(-8, 8, [frames, 3]) / 4
  if extreme:
    logits += 1e4 * rng.integers(-1, 2, logits.shape)
  loss, gradient = value_and_gradient(
    ctc_forward_backward.loss,
    tf.constant(logits[None], tf.float32),
    [frames],
    tf.constant([[*tokens, 1]]),
    [len(tokens)],
  )
  expected = sum_over_paths(logits, tokens)
  np.testing.assert_allclose(loss[0], expected[0], rtol=1e-5, atol=1e-5)
  # float32 has steps of 0.002 at 20,000.
  np.testing.assert_allclose(
    gradient[0], expected[1], rtol=0, atol=1e-2 if extreme else 1e-5
  )


def test_extreme_logits_of_a_long_utterance_have_finite_gradients():
  texts = [([1, 2, 2, 3] * 10, 60), ([5] * 20, 0)]
  logits, *rest = make_batch(texts, 0)
  losses, gradients = PLAIN(1e4 * tf.sign(logits), *rest)
  assert np.isfinite(losses).all()
  assert np.abs(gradients).max() <= 1.0 + 1e-5


@settings(max_examples=30, deadline=None)
@given(TEXTS, SEEDS, st.data())
def test_impossible_tokens_have_an_infinite_loss_without_gradient(
  texts, seed, data
):
  """And change nothing for the other utterances of the batch."""
  logits, lengths, tokens, token_lengths = make_batch(texts, seed)
  expected = PLAIN(logits, lengths, tokens, token_lengths)
  row = data.draw(st.integers(0, len(texts) - 1))
  fewer = data.draw(st.integers(0, int(lengths[row] - texts[row][1]) - 1))
  shorter = lengths.numpy()
  shorter[row] = fewer
  losses, gradients = PLAIN(logits, shorter, tokens, token_lengths)
  assert np.isposinf(losses[row])
  assert not np.any(gradients[row])
  others = np.arange(len(texts)) != row
  assert_same(
    (losses[others], gradients[others]),
    (expected[0][others], expected[1][others]),
    1e-6,
  )


def test_the_kernel_has_an_infinite_loss_there_too():
  logits, _, tokens, token_lengths = make_batch([([1, 1], 0)], 0)
  for loss in ctc.loss, ctc_forward_backward.loss:
    assert np.isposinf(loss(logits, [2], tokens, token_lengths)[0])


@settings(max_examples=30, deadline=None)
@given(
  TEXTS,
  SEEDS,
  st.integers(0, 4),
  st.integers(0, 4),
  st.sampled_from([0.0, 1e30, math.inf, -math.inf, math.nan]),
  st.integers(-9, 99),
)
def test_padding_changes_nothing(texts, seed, frames, tokens, logit, token):
  logits, lengths, texts, token_lengths = make_batch(texts, seed)
  expected = PLAIN(logits, lengths, texts, token_lengths)
  before = logits.shape[1]
  logits = tf.pad(logits, [[0, 0], [0, frames], [0, 0]])
  is_valid = tf.sequence_mask(lengths, logits.shape[1])[..., None]
  texts = tf.pad(texts, [[0, 0], [0, tokens]])
  losses, gradients = PLAIN(
    tf.where(is_valid, logits, logit),
    lengths,
    tf.where(tf.sequence_mask(token_lengths, texts.shape[1]), texts, token),
    token_lengths,
  )
  assert_same((losses, gradients[:, :before]), expected, 1e-6)
  assert not np.any(tf.where(is_valid, 0.0, gradients))


def test_a_token_of_no_probability_is_on_no_path():
  logits, *rest = make_batch([([1, 2], 3), ([1, 5], 3)], 0)
  less = np.zeros(SIZE, np.float32)
  less[5] = -math.inf
  losses, gradients = PLAIN(logits + less, *rest)
  expected = PLAIN(logits - 200.0 * (less < 0), *rest)
  assert_same((losses[:1], gradients[:1]), (expected[0][:1], expected[1][:1]))
  assert np.isposinf(losses[1])
  assert not np.any(gradients[1])


def test_a_logit_that_is_not_a_number_shows_in_its_utterance_alone():
  logits, *rest = make_batch([([1, 2], 3), ([3, 4], 3)], 0)
  expected = PLAIN(logits, *rest)
  bad = logits.numpy()
  bad[0, 2, 5] = math.nan
  losses, gradients = PLAIN(tf.constant(bad), *rest)
  assert np.isnan(losses[0])
  assert np.isnan(gradients[0]).any()
  assert_same((losses[1:], gradients[1:]), (expected[0][1:], expected[1][1:]))


def test_logits_of_a_lower_precision_are_refused():
  logits, *rest = make_batch([([1, 2], 3)], 0)
  with pytest.raises(TypeError, match='bfloat16: cast them to float32'):
    ctc_forward_backward.loss(tf.cast(logits, tf.bfloat16), *rest)


@pytest.mark.parametrize('mode', ['eager', 'graph', 'xla'])
def test_the_second_derivative_is_the_change_of_the_gradient(mode):
  logits, *rest = make_batch([([1, 1, 2], 4), ([3], 2), ([2, 4], 0)], 1)
  # The last utterance has too few frames.
  rest[0] = rest[0] - [0, 0, 1]
  logits = tf.cast(logits, tf.float64)
  rng = np.random.default_rng(0)
  direction, weights = (
    tf.constant(rng.normal(size=shape)) for shape in (logits.shape, [3])
  )

  def loss(*batch):
    losses = ctc_forward_backward.loss(*batch)
    return tf.where(losses < math.inf, losses, 0.0) * weights

  def product(logits):
    with tf.GradientTape() as tape:
      tape.watch(logits)
      _, gradient = value_and_gradient(loss, logits, *rest)
      along = tf.reduce_sum(gradient * direction)
    return tape.gradient(along, logits)

  if mode != 'eager':
    product = tf.function(
      product,
      input_signature=[tf.TensorSpec([None, None, SIZE], tf.float64)],
      autograph=False,
      jit_compile=mode == 'xla',
    )
  step = 1e-5 * direction
  after, before = (
    value_and_gradient(loss, x, *rest)[1]
    for x in (logits + step, logits - step)
  )
  found = product(logits)
  np.testing.assert_allclose(found, (after - before) / 2e-5, atol=1e-7)
  assert np.abs(found[:2]).max() > 0.1
  assert not np.any(found[2])


def test_xla_compiles_the_loss_for_each_shape():
  compiled = traced(ctc_forward_backward.loss, jit_compile=True)
  for texts in ([([1, 2, 2], 3)], [([1] * 12, 0), ([2, 3], 30), ([4], 0)]):
    of_texts = make_batch(texts, 1)
    assert_same(compiled(*of_texts), PLAIN(*of_texts), 1e-5)
    too_few = (of_texts[0], of_texts[1] * 0, *of_texts[2:])
    losses, gradients = compiled(*too_few)
    assert np.isposinf(losses).all()
    assert not np.any(gradients)


def test_tensorflow_lite_computes_losses_and_gradients():
  """With its own operations alone, for batches of any shape."""
  function = traced(ctc_forward_backward.loss).get_concrete_function()
  converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
  converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
  interpreter = tf.lite.Interpreter(model_content=converter.convert())
  inputs = interpreter.get_input_details()
  for texts in ([([1, 2, 2], 3)], [([1] * 5, 2), ([2, 3], 9), ([4], 0)]):
    of_texts = make_batch(texts, 1)
    for detail, values in zip(inputs, of_texts, strict=True):
      interpreter.resize_tensor_input(detail['index'], values.shape)
    interpreter.allocate_tensors()
    for detail, values in zip(inputs, of_texts, strict=True):
      interpreter.set_tensor(detail['index'], values.numpy())
    interpreter.invoke()
    found = [
      interpreter.get_tensor(detail['index'])
      for detail in interpreter.get_output_details()
    ]
    assert_same(sorted(found, key=np.ndim), PLAIN(*of_texts), 1e-5)
