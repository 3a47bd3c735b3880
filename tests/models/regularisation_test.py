"""Regularisation acts in training only, and each kind where it should."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.models.encoders import CONFIG, ENCODER, random_features, run_block
from tff_asr.models import layers

QUIET = dict(
  dropout=0.0, layer_drop=0.0, augmentation=None, max_shift_seconds=0.0
)
FRAME = tf.constant(random_features(1)[None, :, : CONFIG.width])
FRAMES = tf.constant(random_features(30)[None, :, : CONFIG.width])


@pytest.mark.parametrize('kind', QUIET)
def test_each_kind_acts_in_training_only(kind):
  quiet = dataclasses.replace(CONFIG, **QUIET).build()
  others = {n: v for n, v in QUIET.items() if n != kind}
  encoder = dataclasses.replace(CONFIG, **others).build()
  for model in quiet, encoder:
    model.set_weights(ENCODER.get_weights())
  inputs = random_features(60)[None], tf.constant([60])
  expected = quiet(*inputs, training=True).numpy()
  np.testing.assert_array_equal(quiet(*inputs), expected)
  np.testing.assert_array_equal(encoder(*inputs), expected)
  trained = [encoder(*inputs, training=True).numpy() for _ in range(30)]
  # That two blocks are left out or kept alike in all: less than 0.5^29, 2e-9.
  assert max(np.abs(x - trained[0]).max() for x in trained) > 1e-3


def test_a_seed_decides_all_random_numbers():
  inputs = random_features(60)[None], tf.constant([60])

  def trained(seed=None):
    seed = None if seed is None else tf.constant(seed)
    return ENCODER(*inputs, training=True, seed=seed).numpy()

  np.testing.assert_array_equal(trained([1, 2]), trained([1, 2]))
  found = [trained(), trained(), trained([1, 2]), trained([1, 3])]
  for i, one in enumerate(found):
    for other in found[:i]:
      assert np.abs(one - other).max() > 1e-3


def test_layer_drop_leaves_out_whole_blocks_as_often_as_stated():
  (kept,) = run_block(ENCODER, FRAMES)
  assert np.abs(kept - FRAMES[0]).max() > 1e-2
  found = run_block(ENCODER, FRAMES, range(400), layer_drop=0.3)
  is_dropped = (found == FRAMES[0].numpy()).all(axis=(1, 2))
  # Nothing is rescaled.
  for x in found[~is_dropped]:
    np.testing.assert_allclose(x, kept, atol=1e-5)
  # Seeds are fixed; 400 coins at 0.3 are within 6 standard deviations.
  assert 400 * 0.3 - 55 < sum(is_dropped) < 400 * 0.3 + 55


def test_blocks_differ_in_what_they_drop():
  """All blocks call one traced function, each with its own random numbers."""
  one, other, again = run_block(ENCODER, FRAMES, (1, 2, 1), dropout=0.5)
  np.testing.assert_array_equal(one, again)
  assert np.abs(one - other).max() > 1e-2


def with_one_part(part, config=CONFIG):
  """An encoder whose first block has no attention, or no perceptron."""
  encoder = config.build()
  encoder.set_weights(ENCODER.get_weights())
  for other in {'attention_out', 'mlp_out'} - {part}:
    weight = getattr(encoder.blocks[0], other)
    weight.assign(tf.zeros_like(weight))
  return encoder


def with_one_hidden_unit(config=CONFIG):
  """An encoder whose first block adds what one hidden unit gives."""
  encoder = with_one_part('mlp_out', config)
  block = encoder.blocks[0]
  normal = layers.normalize(FRAME, block.mlp_norm.scale, block.mlp_norm.bias)
  unit = np.argmax((normal @ block.mlp_in)[0, 0])
  rows = tf.one_hot([unit], config.mlp_width, axis=0)
  block.mlp_out.assign(block.mlp_out * rows)
  return encoder


def added(encoder, seeds=(0,), **settings):
  """What the block adds to a lone frame: `[seeds, width]`."""
  return (run_block(encoder, FRAME, seeds, **settings) - FRAME)[:, 0].numpy()


def test_attention_weights_are_dropped():
  """A frame alone has one weight for each head, which stays or goes."""
  found = added(with_one_part('attention_out'), range(80), dropout=0.5)
  # None, either, or both of two heads; one is missed with 4 * 0.75^80, 4e-10.
  assert len(np.unique(np.round(found, 4), axis=0)) == 4


def test_hidden_units_are_dropped():
  encoder = with_one_hidden_unit()
  (whole,) = added(encoder)
  assert np.abs(whole).max() > 1e-2
  found = added(encoder, range(80), dropout=0.5)
  is_gone = np.abs(found).max(axis=1) < 1e-5
  for x in found[~is_gone]:
    np.testing.assert_allclose(x, 2 * whole, atol=1e-4)
  # Half of 80, within 6 standard deviations.
  assert 13 < sum(is_gone) < 67


def test_what_a_block_adds_is_not_dropped_itself():
  for part in 'attention_out', 'mlp_out':
    found = (
      run_block(with_one_part(part), FRAMES, range(5), dropout=0.5) - FRAMES
    )
    assert np.mean(found == 0.0) < 0.01


def test_what_is_dropped_in_one_place_says_nothing_of_another():
  config = dataclasses.replace(CONFIG, heads=1)
  attention = with_one_part('attention_out', config)
  is_kept = [
    np.abs(added(encoder, range(400), dropout=0.5)).max(axis=1) > 1e-5
    for encoder in (attention, with_one_hidden_unit(config))
  ]
  # A quarter of 400 has both, within 6 standard deviations.
  assert 48 < sum(is_kept[0] & is_kept[1]) < 152
