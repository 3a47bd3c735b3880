"""Defines the transformer encoder of Pelikan et al. (2025, arXiv 2310.00098).

Log-mel frames are normalised per utterance.  A convolution of stride 3 with a
gated linear unit returns one vector every 30 ms.  Sinusoidal positions in
seconds are added (CAPE), and transformer blocks without biases follow.

Padding never changes a result: padded frames are zero before each convolution,
and no frame attends to padding.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any, ClassVar

import tensorflow as tf

from tff_asr import counts, tracing
from tff_asr.audio import features as audio_features
from tff_asr.audio import spec_augment
from tff_asr.models import blocks, encoder, layers, precision

_STRIDE = 3
_FRONT_KERNEL = 7
_KERNEL = 5
_FEW_BLOCKS = 8  # TensorFlow optimises so many copies of a block in seconds.
_MASKED = -1e9  # Logit of a padded key: its attention weight is exactly 0.


@dataclasses.dataclass(frozen=True)
class TransformerConfig(encoder.EncoderConfig):
  """Sizes of the encoder, and rates of its regularisation in training.

  Attributes:
    vocabulary_size: Number of outputs, the blank included.
    blocks: Number of transformer blocks.
    width: Size of the vectors between blocks.
    heads: Number of attention heads; divides `width`.
    mlp_width: Size of the hidden layer inside a block.
    convolutions: Number of residual convolutions between the front end and the
      blocks.  The paper has none; convolutions help if data are scarce.
    post_norm: Whether blocks normalise their sums.  By default, blocks
      normalise their inputs, and a last normalisation follows the blocks.
    dropout: Dropout rate of attention weights, hidden units and the front end's
      outputs, in training.
    layer_drop: Layer-drop rate: probability that a batch skips a block in
      training.
    augmentation: SpecAugment of the features in training, or `None`.
    max_shift_seconds: Greatest shift of an utterance's positions in training.
  """

  kind: ClassVar[str] = 'transformer'
  stride: ClassVar[int] = _STRIDE

  vocabulary_size: int
  blocks: int
  width: int
  heads: int
  mlp_width: int
  convolutions: int = 0
  post_norm: bool = False
  dropout: float = 0.0
  layer_drop: float = 0.0
  augmentation: spec_augment.SpecAugment | None = None
  max_shift_seconds: float = 0.0

  def __post_init__(self):
    if self.width % self.heads or self.width % 2:
      raise ValueError(
        f'`width={self.width}` must be even and a multiple of'
        f' `heads={self.heads}`.'
      )

  @property
  def description(self) -> str:
    return (
      f'a transformer encoder of {counts.text(self.blocks, "block")}, width'
      f' {self.width},'
      f' {counts.text(self.heads, "head")},'
      f' {counts.text(self.convolutions, "convolution")}'
    )

  def make(self, precision_name: str) -> 'Transformer':
    return Transformer(self, precision_name)

  @classmethod
  def from_json(cls, values: Mapping[str, Any]) -> 'TransformerConfig':
    augmentation = values['augmentation']
    if augmentation:
      augmentation = spec_augment.SpecAugment(**augmentation)
    return cls(**{**values, 'augmentation': augmentation})


class Transformer(encoder.Encoder):
  """A transformer encoder; `encoder.Encoder` describes the call."""

  def __init__(
    self,
    config: TransformerConfig,
    precision_name: str = precision.FLOAT32,
    **kwargs,
  ):
    """Builds an encoder without weights.

    Args:
      config: Sizes and regularisation.
      precision_name: One of `precision.NAMES`.
      **kwargs: Passed to Keras.
    """
    super().__init__(config, **kwargs)
    self._type = precision.compute_type(precision_name)
    self.normalization = layers.UtteranceNormalization(name='normalization')
    self.front_end = layers.FrontEnd(
      config.width, _FRONT_KERNEL, config.stride, name='front_end'
    )
    self.convolutions = [
      layers.GatedConvolution(config.width, _KERNEL, 1, name=f'convolution_{i}')
      for i in range(config.convolutions)
    ]
    self.positions = layers.Positions(
      config.width, config.stride, config.max_shift_seconds, name='positions'
    )
    function = blocks.block_function(
      blocks.BlockConfig(
        width=config.width,
        mlp_width=config.mlp_width,
        heads=config.heads,
        dropout=config.dropout,
        layer_drop=config.layer_drop,
        post_norm=config.post_norm,
      ),
      self._type,
      inline=config.blocks <= _FEW_BLOCKS,
    )
    self.blocks = [
      blocks.Block(config.mlp_width, function, name=f'block_{i}')
      for i in range(config.blocks)
    ]
    if not config.post_norm:
      self.final_norm = layers.LayerNormalization(name='final_norm')
    self.output_layer = layers.Output(config.vocabulary_size, name='output')

  def create_weights(self):
    of_features = [None, None, audio_features.MEL_BANDS]
    of_blocks = [None, None, self.config.width]
    with tf.name_scope(self.name):
      layers.create_weights(self.normalization, of_features)
      layers.create_weights(self.front_end, of_features)
      for layer in (*self.convolutions, *self.blocks):
        layers.create_weights(layer, of_blocks)
      if not self.config.post_norm:
        layers.create_weights(self.final_norm, of_blocks)
      layers.create_weights(self.output_layer, of_blocks)

  def call(self, features, lengths, training=False, seed=None):
    return self._logits(features, lengths, training, seed)

  @tracing.unconverted
  def _logits(self, features, lengths, training, seed):
    config = self.config
    frames = tf.shape(features)[1]
    spans = _mask(lengths, frames)
    bands = tf.ones([1, features.shape[-1]])
    x = self.normalization(features, spans, affine=False)
    seeds = tf.zeros([config.blocks + 3, 2], tf.int32)
    if training:
      if seed is None:
        seed = tf.random.uniform([2], 0, tf.int32.max, tf.int32)
      seeds = tf.random.stateless_uniform(
        seeds.shape, seed, 0, tf.int32.max - 2, tf.int32, alg='philox'
      )
    if training and config.augmentation:
      kept_spans, bands = spec_augment.masks(
        config.augmentation, lengths, frames, x.shape[-1], seeds[-2]
      )
      spans *= kept_spans[..., None]
      x *= spans * bands[:, None]
    x = self.front_end(
      tf.cast(x, self._type),
      spans,
      bands,
      self.normalization.scale,
      self.normalization.bias,
    )
    mask = _mask(config.output_frames(lengths), tf.shape(x)[1])
    valid = tf.cast(mask, self._type)
    for convolution in self.convolutions:
      x *= valid
      x += convolution(x)
    x = layers.dropout(x, config.dropout, seeds[-1], training)
    positions = self.positions(mask, seeds[-3], training=training)
    x += tf.cast(positions, self._type)
    key_bias = (1.0 - tf.transpose(mask, [0, 2, 1])[:, None]) * _MASKED
    for i, block in enumerate(self.blocks):
      x = block(x, key_bias, seeds[i], training=training)
    x = tf.cast(x, tf.float32)
    if not config.post_norm:
      x = self.final_norm(x)
    return self.output_layer(x)


def _mask(lengths, frames):
  return tf.sequence_mask(lengths, frames, tf.float32)[..., None]
