import numpy as np
import tensorflow as tf

from tff_asr.audio import spec_augment

PAPER = spec_augment.SpecAugment()


def runs(zeros):
  """Number of runs of True."""
  return int(np.sum(np.diff(np.concatenate([[0], zeros.astype(int)])) == 1))


def draw(config=PAPER, lengths=(400, 100, 37), frames=400):
  seed = tf.random.uniform([2], 0, tf.int32.max, tf.int32)
  mask = spec_augment.mask(
    config, tf.constant(lengths), frames, 80, seed
  ).numpy()
  assert mask.shape == (len(lengths), frames, 80)
  assert set(np.unique(mask)) <= {0.0, 1.0}
  return mask


def test_at_most_the_stated_bands_and_spans_are_blanked():
  for _ in range(50):
    for row, length in zip(draw(), (400, 100, 37), strict=True):
      bands = ~row[:length].any(axis=0)
      spans = ~row.any(axis=1)
      assert runs(bands) <= 2 and bands.sum() <= 60
      assert runs(spans) <= 10 and spans.sum() <= 10 * min(50, length // 10)
      assert not spans[length:].any()


def test_every_width_and_place_occurs():
  """1,200 draws of one band: the edges are missed with 0.985^1,200, 2e-8."""
  config = spec_augment.SpecAugment(bands=1, spans=0)
  masks = draw(config, [10] * 1_200, 10)[:, 0]
  assert {int((m == 0).sum()) for m in masks} == set(range(31))
  assert (masks == 0).any(axis=0).all()


def test_no_span_is_longer_than_a_tenth():
  config = spec_augment.SpecAugment(bands=0, spans=1)
  spans = (draw(config, [37] * 500, 37)[:, :, 0] == 0).sum(axis=1)
  assert set(spans) == {0, 1, 2, 3}  # One is missed with 0.75^500.


def test_utterances_differ():
  masks = draw(PAPER, [400] * 8)
  assert len({m.tobytes() for m in masks}) == 8
