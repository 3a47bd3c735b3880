"""Transformer encoder for CTC, after Pelikan et al. (2025, arXiv 2310.00098).

Log-mel frames are normalised per utterance, a convolution of stride 3 with a
gated linear unit gives one vector every 30 ms, sinusoidal positions in seconds
are added (CAPE), and transformer blocks without biases follow.

Padding never changes a result: padded frames are zero before every convolution,
and no frame attends to them.
"""

import dataclasses

import tensorflow as tf

from tff_asr.audio import features, spec_augment
from tff_asr.models import blocks, layers, precision

STRIDE = features.OUTPUT_STRIDE
_FRONT_KERNEL = 7
_KERNEL = 5
_FEW_BLOCKS = 8  # What can be optimised one by one in seconds.
_MASKED = -1e9  # Logit of a padded key: its weight is exactly zero.


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Sizes of the encoder, and what is left to chance in training.

  Attributes:
    vocabulary_size: Number of outputs, the blank included.
    blocks: Number of transformer blocks.
    width: Size of the vectors between blocks.
    heads: Number of attention heads; divides `width`.
    mlp_width: Size of the hidden layer inside a block.
    convolutions: Number of residual convolutions between the front end and the
      blocks (none in the paper; they help where there is little data).
    post_norm: Whether blocks normalise their sums; by default they normalise
      their inputs, and a last normalisation follows the blocks.
    dropout: Rate at which attention weights, hidden units and the front end's
      outputs are dropped in training.
    layer_drop: Probability with which a block is left out in training.
    augmentation: What of the features is blanked in training, or `None`.
    max_shift_seconds: Greatest shift of an utterance's positions in training.
  """

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
        f'width {self.width} must be even and a multiple of {self.heads} heads.'
      )


def config_from(values: dict) -> TransformerConfig:
  """The inverse of `Transformer.get_config`."""
  augmentation = values['augmentation']
  if augmentation:
    augmentation = spec_augment.SpecAugment(**augmentation)
  return TransformerConfig(**{**values, 'augmentation': augmentation})


def output_frames(frames):
  """Number of output frames for a number of feature frames."""
  return frames // STRIDE


class Transformer(tf.keras.Model):
  """Encoder from log-mel features to CTC logits.

  Call arguments:
    features: float32 `[batch, frames, 80]`, at least 3 frames.
    lengths: int32 `[batch]`, frames of each utterance.
    training: Whether anything is left to chance.
    seed: int32 `[2]`; decides all of that.  By default TensorFlow does.

  Returns float32 logits `[batch, frames // 3, vocabulary]`; of utterance b the
  first `lengths[b] // 3` are meant, the others are to be ignored.
  """

  def __new__(cls, *args, **kwargs):
    return object.__new__(cls)  # As in `layers.Layer`.

  def __init__(
    self,
    config: TransformerConfig,
    precision_name: str = precision.FLOAT32,
    **kwargs,
  ):
    """Builds an encoder whose weights are made at its first call.

    Args:
      config: Its sizes.
      precision_name: One of `precision.NAMES`.
      **kwargs: Handed on to Keras.
    """
    super().__init__(autocast=False, **kwargs)
    self.config = config
    self._type = precision.compute_type(precision_name)
    self.normalization = layers.UtteranceNormalization(name='normalization')
    self.front_end = layers.GatedConvolution(
      config.width, _FRONT_KERNEL, STRIDE, name='front_end'
    )
    self.convolutions = [
      layers.GatedConvolution(config.width, _KERNEL, 1, name=f'convolution_{i}')
      for i in range(config.convolutions)
    ]
    self.positions = layers.Positions(
      config.width, STRIDE, config.max_shift_seconds, name='positions'
    )
    self.blocks = [
      layers.Block(config.mlp_width, name=f'block_{i}')
      for i in range(config.blocks)
    ]
    self._run_block = blocks.function(
      blocks.BlockConfig(
        config.heads, config.dropout, config.layer_drop, config.post_norm
      ),
      config.width,
      config.mlp_width,
      self._type,
      inline=config.blocks <= _FEW_BLOCKS,
    )
    if not config.post_norm:
      self.final_norm = layers.LayerNormalization(name='final_norm')
    self.output_layer = layers.Output(config.vocabulary_size, name='output')

  def get_config(self):
    return dataclasses.asdict(self.config)

  def call(self, features, lengths, training=False, seed=None):
    config = self.config
    frames = tf.shape(features)[1]
    x = self.normalization(features, _mask(lengths, frames))
    seeds = tf.zeros([config.blocks + 3, 2], tf.int32)
    if training:
      if seed is None:
        seed = tf.random.uniform([2], 0, tf.int32.max, tf.int32)
      seeds = tf.random.stateless_uniform(
        seeds.shape, seed, 0, tf.int32.max - 2, tf.int32, alg='philox'
      )
    if training and config.augmentation:
      x *= spec_augment.mask(
        config.augmentation, lengths, frames, x.shape[-1], seeds[-2]
      )
    x = self.front_end(tf.cast(x, self._type))
    mask = _mask(output_frames(lengths), tf.shape(x)[1])
    valid = tf.cast(mask, self._type)
    for convolution in self.convolutions:
      x *= valid
      x += convolution(x)
    x = layers.dropout(x, config.dropout, seeds[-1], training)
    positions = self.positions(mask, seeds[-3], training=training)
    x += tf.cast(positions, self._type)
    key_bias = (1.0 - tf.transpose(mask, [0, 2, 1])[:, None]) * _MASKED
    for i, block in enumerate(self.blocks):
      x = block(x, self._run_block(bool(training)), key_bias, seeds[i])
    x = tf.cast(x, tf.float32)
    if not config.post_norm:
      x = self.final_norm(x)
    return self.output_layer(x)


def _mask(lengths, frames):
  return tf.sequence_mask(lengths, frames, tf.float32)[..., None]


def build(
  config: TransformerConfig, precision_name: str = precision.FLOAT32
) -> Transformer:
  """Returns an encoder whose weights exist.

  Args:
    config: Its sizes.
    precision_name: What it computes in, one of `precision.NAMES`.
  """
  model = Transformer(config, precision_name)
  model(
    tf.zeros([1, STRIDE, features.MEL_BANDS]),
    tf.constant([STRIDE]),
    training=False,
  )
  return model


def layer_sizes(model: Transformer) -> dict[str, int]:
  """Number of coordinates of every trainable tensor by its name, in order.

  Names are `block_0/qkv` for a variable named `transformer/block_0/qkv:0`.
  """
  return {
    variable.name.split(':')[0].partition('/')[2]: variable.shape.num_elements()
    for variable in model.trainable_variables
  }
