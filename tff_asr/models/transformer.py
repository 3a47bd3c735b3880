"""Transformer encoder for CTC, after Pelikan et al. (2025, arXiv 2310.00098).

Log-mel frames are normalised per utterance, a convolution of stride 3 with a
gated linear unit gives one vector every 30 ms, sinusoidal positions in seconds
are added (CAPE, Likhomanenko et al., 2021, arXiv 2106.03143), and pre-LN
transformer blocks without biases follow (Xiong et al., 2020, arXiv 2002.04745).

Padding never changes a result: padded frames are zero before the convolution
and after it, and no frame attends to them.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tff_asr import errors
from tff_asr.audio import features, spec_augment

STRIDE = features.OUTPUT_STRIDE
_FRONT_KERNEL = 7
_KERNEL = 5
_FRAME_SECONDS = STRIDE * features.HOP / features.SAMPLE_RATE
_MASKED = -1e9  # Logit of a padded key: its weight is exactly zero.


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Sizes of the encoder.

  Attributes:
    vocabulary_size: Number of outputs, the blank included.
    convolutions: Number of residual convolutions between the front end and the
      blocks (none in the paper; they help where there is little data).
    blocks: Number of transformer blocks.
    width: Size of the vectors between blocks.
    heads: Number of attention heads; divides `width`.
    mlp_width: Size of the hidden layer inside a block.
    dropout: Rate at which attention weights, hidden units and the front end's
      outputs are dropped in training.
    augmentation: What of the features is blanked in training, or `None`.
    max_shift_seconds: Greatest shift of an utterance's positions in training
      (30 in the paper; 0 where there is little data).
  """

  vocabulary_size: int
  convolutions: int
  blocks: int
  width: int
  heads: int
  mlp_width: int
  dropout: float
  augmentation: spec_augment.SpecAugment | None = None
  max_shift_seconds: float = 0.0

  def __post_init__(self):
    if self.width % self.heads or self.width % 2:
      raise ValueError(
        f'width {self.width} must be even and a multiple of {self.heads} heads.'
      )


PRESETS = {
  'tiny': dict(
    convolutions=2,
    blocks=2,
    width=64,
    heads=2,
    mlp_width=256,
    dropout=0.1,
    augmentation=spec_augment.SpecAugment(
      bands=1, band_width=15, spans=2, span_frames=15
    ),
  ),
  'small': dict(
    convolutions=2,
    blocks=4,
    width=128,
    heads=4,
    mlp_width=512,
    dropout=0.15,
    augmentation=spec_augment.SpecAugment(
      bands=2, band_width=15, spans=4, span_frames=20
    ),
  ),
}


def preset(name: str, vocabulary_size: int) -> TransformerConfig:
  """Returns the sizes of a preset for a vocabulary.

  Raises:
    UserError: If there is no preset of that name.
  """
  if name not in PRESETS:
    raise errors.UserError(
      f'There is no model {name!r}: choose one of {", ".join(PRESETS)}.'
    )
  return TransformerConfig(vocabulary_size=vocabulary_size, **PRESETS[name])


def config_from(values: dict) -> TransformerConfig:
  """The inverse of `Transformer.get_config`."""
  augmentation = values['augmentation']
  if augmentation:
    augmentation = spec_augment.SpecAugment(**augmentation)
  return TransformerConfig(**{**values, 'augmentation': augmentation})


def output_frames(frames):
  """Number of output frames for a number of feature frames."""
  return frames // STRIDE


def _uniform_fan_in(scale: float) -> tf.keras.initializers.Initializer:
  return tf.keras.initializers.VarianceScaling(scale, 'fan_in', 'uniform')


def _uniform_bias(fan_in: int) -> tf.keras.initializers.Initializer:
  return tf.keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5)


class Layer(tf.keras.layers.Layer):
  """Base of the layers here: a Keras layer inside any graph.

  Made inside a `tf.Graph`, which is where TFF makes models, Keras gives a class
  its TensorFlow 1 bases, and breaks the instances that were made eagerly
  before. This base is created without that exchange; Keras' own layers, which
  cannot be, are not used.
  """

  def __new__(cls, *args, **kwargs):
    return object.__new__(cls)


def dropout(x: tf.Tensor, rate: float, training: bool) -> tf.Tensor:
  """Drops elements of `x` in training and scales the others up."""
  return tf.nn.dropout(x, rate) if training and rate else x


class UtteranceNormalization(Layer):
  """Zero mean and unit variance over an utterance, then a learned scale, bias.

  Mean and variance are one scalar each, over time and bands, padding excluded.

  Call arguments:
    features: float32 `[batch, frames, bands]`.
    mask: float32 `[batch, frames, 1]`, 1 on frames, 0 on padding.

  Returns float32 `[batch, frames, bands]`, zero on padding.
  """

  def build(self, shape):
    self.scale = self.add_weight('scale', (), initializer='ones')
    self.bias = self.add_weight('bias', (), initializer='zeros')

  def call(self, features, mask):
    count = tf.reduce_sum(mask, [1, 2], True) * features.shape[-1]
    count = tf.maximum(count, 1.0)
    mean = tf.reduce_sum(features * mask, [1, 2], True) / count
    centred = (features - mean) * mask
    variance = tf.reduce_sum(tf.square(centred), [1, 2], True) / count
    normal = centred * tf.math.rsqrt(variance + 1e-7)
    return (normal * self.scale + self.bias) * mask


class LayerNormalization(Layer):
  """Layer normalisation over the last axis, epsilon 1e-5, scale and bias."""

  def build(self, shape):
    self.scale = self.add_weight('scale', shape[-1:], initializer='ones')
    self.bias = self.add_weight('bias', shape[-1:], initializer='zeros')

  def call(self, x):
    centred = x - tf.reduce_mean(x, -1, True)
    variance = tf.reduce_mean(tf.square(centred), -1, True)
    return centred * (tf.math.rsqrt(variance + 1e-5) * self.scale) + self.bias


class GatedConvolution(Layer):
  """Convolution over time and a gated linear unit.

  Padding is the same at either end whatever the length, so that the windows of
  an utterance lie the same alone and in a padded batch.

  Call arguments:
    x: float32 `[batch, frames, channels]`, zero on padding.

  Returns float32 `[batch, frames // stride, width]`.
  """

  def __init__(self, width: int, kernel_size: int, stride: int, **kwargs):
    super().__init__(**kwargs)
    self.width = width
    self.kernel_size = kernel_size
    self.stride = stride

  def build(self, shape):
    self.kernel = self.add_weight(
      'kernel',
      (self.kernel_size, shape[-1], 2 * self.width),
      initializer=_uniform_fan_in(1.0),
    )
    self.bias = self.add_weight(
      'bias',
      (2 * self.width,),
      initializer=_uniform_bias(self.kernel_size * shape[-1]),
    )

  def call(self, x):
    side = (self.kernel_size - self.stride) // 2
    padded = tf.pad(x, [[0, 0], [side, side], [0, 0]])
    x = tf.nn.conv1d(padded, self.kernel, self.stride, 'VALID') + self.bias
    value, gate = tf.split(x, 2, axis=-1)
    return value * tf.sigmoid(gate)


class Positions(Layer):
  """Sinusoids of time in seconds, centred per utterance (CAPE).

  In training each utterance may be shifted as a whole, either way.

  Call arguments:
    mask: float32 `[batch, frames, 1]`.

  Returns float32 `[batch, frames, width]`, zero on padding.
  """

  def __init__(self, width: int, max_shift_seconds: float, **kwargs):
    super().__init__(**kwargs)
    self._max_shift_seconds = max_shift_seconds
    index = np.arange(width)
    self._frequency = (30.0 * 10_000.0 ** (-2 * (index // 2) / width)).astype(
      np.float32
    )
    self._phase = (np.pi / 2 * (index % 2)).astype(np.float32)

  def call(self, mask, training=False):
    shape = tf.shape(mask)
    length = tf.reduce_sum(mask, [1, 2], True)
    index = tf.cast(tf.range(shape[1])[None, :, None], tf.float32)
    seconds = (index - (length - 1) / 2) * _FRAME_SECONDS
    shift = self._max_shift_seconds
    if training and shift:
      seconds += tf.random.uniform([shape[0], 1, 1], -shift, shift)
    return tf.sin(seconds * self._frequency + self._phase) * mask


class Block(Layer):
  """Pre-LN self-attention and multi-layer perceptron, no biases in matrices.

  Call arguments:
    x: float32 `[batch, frames, width]`.
    key_bias: float32 `[batch, 1, 1, frames]`, 0 on frames, very low on padding.

  Returns float32 `[batch, frames, width]`.
  """

  def __init__(self, config: TransformerConfig, **kwargs):
    super().__init__(**kwargs)
    self.config = config
    self.attention_norm = LayerNormalization(name='attention_norm')
    self.mlp_norm = LayerNormalization(name='mlp_norm')

  def build(self, shape):
    def matrix(name, rows, columns):
      return self.add_weight(
        name, (rows, columns), initializer=_uniform_fan_in(1.0 / 3.0)
      )

    width, mlp_width = self.config.width, self.config.mlp_width
    self.qkv = matrix('qkv', width, 3 * width)
    self.attention_out = matrix('attention_out', width, width)
    self.mlp_in = matrix('mlp_in', width, mlp_width)
    self.mlp_out = matrix('mlp_out', mlp_width, width)

  def call(self, x, key_bias, training=False):
    x += self._attention(self.attention_norm(x), key_bias, training)
    hidden = tf.nn.relu(self.mlp_norm(x) @ self.mlp_in)
    return x + dropout(hidden, self.config.dropout, training) @ self.mlp_out

  def _attention(self, x, key_bias, training):
    heads, width = self.config.heads, self.config.width
    shape = tf.shape(x)
    qkv = tf.reshape(
      x @ self.qkv, [shape[0], shape[1], 3, heads, width // heads]
    )
    query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
    scale = (width // heads) ** -0.5
    logits = tf.matmul(query * scale, key, transpose_b=True) + key_bias
    weights = dropout(tf.nn.softmax(logits), self.config.dropout, training)
    mixed = tf.transpose(weights @ value, [0, 2, 1, 3])
    return tf.reshape(mixed, [shape[0], shape[1], width]) @ self.attention_out


class Output(Layer):
  """Linear map with bias to the logits of the vocabulary.

  Call arguments:
    x: float32 `[batch, frames, width]`.

  Returns float32 `[batch, frames, vocabulary]`.
  """

  def __init__(self, vocabulary_size: int, **kwargs):
    super().__init__(**kwargs)
    self.vocabulary_size = vocabulary_size

  def build(self, shape):
    self.kernel = self.add_weight(
      'kernel',
      (shape[-1], self.vocabulary_size),
      initializer=_uniform_fan_in(1.0),
    )
    self.bias = self.add_weight(
      'bias',
      (self.vocabulary_size,),
      initializer=_uniform_bias(shape[-1]),
    )

  def call(self, x):
    return x @ self.kernel + self.bias


class Transformer(tf.keras.Model):
  """Encoder from log-mel features to CTC logits.

  Call arguments:
    features: float32 `[batch, frames, 80]`, at least 3 frames.
    lengths: int32 `[batch]`, frames of each utterance.

  Returns float32 logits `[batch, frames // 3, vocabulary]`; of utterance b the
  first `lengths[b] // 3` are meant, the others are to be ignored.
  """

  def __new__(cls, *args, **kwargs):
    return object.__new__(cls)  # As in `Layer`.

  def __init__(self, config: TransformerConfig, **kwargs):
    super().__init__(**kwargs)
    self.config = config
    self.normalization = UtteranceNormalization(name='normalization')
    self.front_end = GatedConvolution(
      config.width, _FRONT_KERNEL, STRIDE, name='front_end'
    )
    self.convolutions = [
      GatedConvolution(config.width, _KERNEL, 1, name=f'convolution_{i}')
      for i in range(config.convolutions)
    ]
    self.positions = Positions(
      config.width, config.max_shift_seconds, name='positions'
    )
    self.blocks = [
      Block(config, name=f'block_{i}') for i in range(config.blocks)
    ]
    self.final_norm = LayerNormalization(name='final_norm')
    self.output_layer = Output(config.vocabulary_size, name='output')

  def get_config(self):
    return dataclasses.asdict(self.config)

  def call(self, features, lengths, training=False):
    frames = tf.shape(features)[1]
    x = self.normalization(features, _mask(lengths, frames))
    augmentation = self.config.augmentation
    if training and augmentation:
      x *= spec_augment.mask(augmentation, lengths, frames, x.shape[-1])
    x = self.front_end(x)
    mask = _mask(output_frames(lengths), tf.shape(x)[1])
    for convolution in self.convolutions:
      x *= mask
      x += convolution(x)
    x = dropout(x, self.config.dropout, training)
    x = x * mask + self.positions(mask, training=training)
    key_bias = (1.0 - tf.transpose(mask, [0, 2, 1])[:, None]) * _MASKED
    for block in self.blocks:
      x = block(x, key_bias, training=training)
    return self.output_layer(self.final_norm(x))


def _mask(lengths, frames):
  return tf.sequence_mask(lengths, frames, tf.float32)[..., None]


def build(config: TransformerConfig) -> Transformer:
  """Returns an encoder whose weights exist."""
  model = Transformer(config)
  model(
    tf.zeros([1, STRIDE, features.MEL_BANDS]),
    tf.constant([STRIDE]),
    training=False,
  )
  return model
