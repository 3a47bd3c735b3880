import itertools

import numpy as np
import tensorflow as tf

from tff_asr.models import ctc


def collapse(path):
  return [t for t, _ in itertools.groupby(path) if t]


def brute_force_loss(logits, tokens):
  """Sums the probability of every alignment of the tokens."""
  log_probs = np.asarray(tf.nn.log_softmax(tf.cast(logits, tf.float64)))
  frames, size = log_probs.shape
  total = -np.inf
  for path in itertools.product(range(size), repeat=frames):
    if collapse(path) == list(tokens):
      score = sum(log_probs[t, c] for t, c in enumerate(path))
      total = np.logaddexp(total, score)
  return -total


def test_loss_equals_the_sum_over_all_alignments():
  rng = np.random.default_rng(0)
  cases = [([1, 2], 5), ([1, 1], 4), ([2], 3), ([1, 2, 1], 5)]
  logits = rng.normal(size=[len(cases), 5, 3]).astype(np.float32)
  tokens = np.zeros([len(cases), 3], np.int32)
  for row, (labels, _) in zip(tokens, cases, strict=True):
    row[: len(labels)] = labels
  actual = ctc.loss(
    tf.constant(logits),
    tf.constant([frames for _, frames in cases]),
    tf.constant(tokens),
    tf.constant([len(labels) for labels, _ in cases]),
  )
  expected = [
    brute_force_loss(logit[:frames], labels)
    for logit, (labels, frames) in zip(logits, cases, strict=True)
  ]
  np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_padding_of_tokens_and_frames_does_not_matter():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=[1, 8, 5]).astype(np.float32)

  def loss(logits, tokens):
    return ctc.loss(logits, tf.constant([6]), tf.constant([tokens]), [3])

  np.testing.assert_allclose(
    loss(logits[:, :6], [1, 2, 3]), loss(logits, [1, 2, 3, 4, 4]), rtol=1e-5
  )


def test_greedy_tokens():
  paths = [[0, 1, 1, 0, 1, 2], [2, 2, 2, 3, 3, 3], [0, 0, 0, 0, 0, 0]]
  logits = tf.one_hot(paths, 4) * 9.0
  found = ctc.greedy_tokens(logits, tf.constant([6, 4, 6])).to_list()
  assert found == [[1, 1, 2], [2, 3], []]
