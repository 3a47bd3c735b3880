"""Encoders that tests share, and one block of theirs alone."""

import dataclasses

import numpy as np
import tensorflow as tf

from tff_asr.models import blocks, presets

CONFIG = dataclasses.replace(
  presets.preset('tiny', 30), dropout=0.3, layer_drop=0.3, max_shift_seconds=3.0
)


def build(config):
  """An encoder none of whose weights is at 0 or 1, as all biases begin."""
  tf.keras.utils.set_random_seed(1)
  encoder = config.build()
  rng = np.random.default_rng(1)
  encoder.set_weights(
    [w + rng.normal(0.0, 0.05, w.shape) for w in encoder.get_weights()]
  )
  return encoder


ENCODER = build(CONFIG)


def random_features(frames, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(5.0, 3.0, [frames, 80]).astype(np.float32)


def run_block(encoder, x, seeds=(0,), **settings):
  """The first block's results with some seeds: `[seeds, frames, width]`.

  Args:
    encoder: Whose block.
    x: float32 `[1, frames, width]`.
    seeds: Of what is dropped.
    **settings: Of the block, where it is to drop something or to differ.
  """
  config = encoder.config
  quiet = blocks.BlockConfig(
    width=config.width,
    mlp_width=config.mlp_width,
    heads=config.heads,
    dropout=0.0,
    layer_drop=0.0,
    post_norm=False,
  )
  function = blocks.block_function(
    dataclasses.replace(quiet, **settings), tf.float32, inline=True
  )(True)
  bias = tf.zeros([1, 1, 1, x.shape[1]])
  weights = encoder.blocks[0].block_weights()
  return np.concatenate(
    [function(x, bias, tf.constant([seed, 7]), *weights) for seed in seeds]
  )
