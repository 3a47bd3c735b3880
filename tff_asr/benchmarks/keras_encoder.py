"""Builds the encoder of `models/transformer.py` from Keras' own layers.

This encoder is a reference for speed: it uses Keras' `MultiHeadAttention`,
`LayerNormalization`, `Conv1D`, `Dense` and `Dropout` unchanged.  Its sizes are
the same as in `models/transformer.py`. Its weights are the same, except where
the layers differ: `MultiHeadAttention` has three matrices where ours has one.
"""

import tensorflow as tf

from tff_asr.audio import features, spec_augment
from tff_asr.models import layers
from tff_asr.models.encoder import EncoderConfig

_layers = tf.keras.layers


class _Block(_layers.Layer):
  """Applies a pre-norm transformer block without biases."""

  def __init__(self, config: EncoderConfig):
    super().__init__()
    width = config.width
    self.attention_norm = _layers.LayerNormalization(epsilon=1e-5)
    self.attention = _layers.MultiHeadAttention(
      config.heads,
      width // config.heads,
      use_bias=False,
      dropout=config.dropout,
    )
    self.mlp_norm = _layers.LayerNormalization(epsilon=1e-5)
    self.mlp_in = _layers.Dense(config.mlp_width, 'relu', use_bias=False)
    self.dropout = _layers.Dropout(config.dropout)
    self.mlp_out = _layers.Dense(width, use_bias=False)

  def call(self, x, mask, training):
    rows = self.attention_norm(x)
    x += self.attention(rows, rows, attention_mask=mask, training=training)
    hidden = self.mlp_in(self.mlp_norm(x))
    return x + self.mlp_out(self.dropout(hidden, training=training))


class _StockEncoder(tf.keras.Model):
  """Implements the call signature of `models.encoder.Encoder`."""

  def __init__(self, config: EncoderConfig):
    super().__init__()
    self.config = config
    self.normalization = layers.UtteranceNormalization()
    self.front_end = _layers.Conv1D(2 * config.width, 7, config.stride)
    self.convolutions = [
      _layers.Conv1D(2 * config.width, 5) for _ in range(config.convolutions)
    ]
    self.positions = layers.Positions(
      config.width, config.stride, config.max_shift_seconds
    )
    self.dropout = _layers.Dropout(config.dropout)
    self.blocks = [_Block(config) for _ in range(config.blocks)]
    self.final_norm = _layers.LayerNormalization(epsilon=1e-5)
    self.output_layer = _layers.Dense(config.vocabulary_size)

  def call(self, features, lengths, training=False, seed=None):
    del seed  # Keras' layers draw their own seeds.
    frames = tf.shape(features)[1]
    x = self.normalization(
      features, tf.sequence_mask(lengths, frames, tf.float32)[..., None]
    )
    augmentation = self.config.augmentation
    seed = tf.random.uniform([2], 0, tf.int32.max, tf.int32)
    if training and augmentation:
      x *= spec_augment.mask(augmentation, lengths, frames, x.shape[-1], seed)
    x = _gated(self.front_end, x)
    is_frame = tf.sequence_mask(
      self.config.output_frames(lengths), tf.shape(x)[1]
    )
    mask = tf.cast(is_frame, tf.float32)[..., None]
    for convolution in self.convolutions:
      x *= mask
      x += _gated(convolution, x)
    x = self.dropout(x, training=training)
    x += self.positions(mask, seed, training=training)
    for block in self.blocks:
      x = block(x, is_frame[:, None], training)
    return self.output_layer(self.final_norm(x))


def _gated(convolution, x):
  x = tf.pad(x, [[0, 0], [2, 2], [0, 0]])
  value, gate = tf.split(convolution(x), 2, axis=-1)
  return value * tf.sigmoid(gate)


def build(config: EncoderConfig) -> tf.keras.Model:
  """Returns an encoder of these sizes, with initial weights."""
  model = _StockEncoder(config)
  model(
    tf.zeros([1, config.stride, features.MEL_BANDS]),
    tf.constant([config.stride]),
  )
  return model
