import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import tensorflow as tf

from tff_asr.models import ctc
from tff_asr.text import vocabularies


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


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6)))
def test_the_least_frames_are_those_on_which_a_path_exists(texts):
  texts = [[1], *texts]
  tokens = tf.ragged.constant(texts, dtype=tf.int32)
  found = ctc.least_frames(
    tokens.to_tensor(2), tf.cast(tokens.row_lengths(), tf.int32)
  )
  assert found.numpy().tolist() == [vocabularies.ctc_frames(t) for t in texts]


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


@settings(max_examples=30, deadline=None)
@given(
  st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=4
  ),
  st.integers(0, 99),
)
def test_tokens_are_where_they_are_the_best(paths, seed):
  """Best tokens of the frames of a batch; behind an utterance, of anything."""
  rng = np.random.default_rng(seed)
  lengths = [len(path) for path in paths]
  logits = rng.normal(size=[len(paths), max(lengths), 4]).astype(np.float32)
  for row, path in zip(logits, paths, strict=True):
    row[np.arange(len(path)), path] += 9.0
  found = ctc.greedy_decode(tf.constant(logits), tf.constant(lengths))
  scores = tf.nn.log_softmax(logits).numpy()
  for row, path in enumerate(paths):
    runs, at = [], 0
    for token, frames in itertools.groupby(path):
      end = at + len(list(frames))
      if token:
        runs.append((token, at, end, scores[row, at:end, token].max()))
      at = end
    columns = [value[row].numpy().tolist() for value in found[:4]]
    assert [list(c) for c in zip(*columns[:3], strict=True)] == [
      list(run[:3]) for run in runs
    ]
    np.testing.assert_allclose(columns[3], [r[3] for r in runs], rtol=1e-5)
    assert found.frames[row] == len(path)
    np.testing.assert_allclose(
      found.blanks[row], scores[row, : len(path), 0].mean(), rtol=1e-5
    )
