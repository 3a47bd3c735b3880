"""Defines layers of encoders: normalisation, convolution, positions, logits.

Weights are float32.  A layer computes in the type of its input, float32 or
bfloat16.  Statistics and softmax are always float32, because they need its
range.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tff_asr.audio import features
from tff_asr.models import encoder


def uniform_fan_in(scale: float) -> tf.keras.initializers.Initializer:
  """Returns a uniform initializer of variance `scale / fan_in`."""
  return tf.keras.initializers.VarianceScaling(scale, 'fan_in', 'uniform')


def _uniform_bias(fan_in: int) -> tf.keras.initializers.Initializer:
  return tf.keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5)


class Layer(encoder.AnyGraph, tf.keras.layers.Layer):
  """Base class of layers: a Keras layer for any graph, without casts."""

  def __init__(self, **kwargs):
    super().__init__(autocast=False, **kwargs)


def create_weights(layer: tf.keras.layers.Layer, shape: Sequence[int]) -> None:
  """Creates a layer's weights without a call, under the names of a call.

  Args:
    layer: A layer without weights.
    shape: Shape of the layer's input.
  """
  with tf.name_scope(layer.name):
    layer.build(tf.TensorShape(shape))
  layer.built = True


def dropout(
  x: tf.Tensor, rate: float, seed: tf.Tensor, training: bool
) -> tf.Tensor:
  """Drops elements of `x` in training and scales the other elements up.

  Args:
    x: Tensor of any shape, float32 or bfloat16.
    rate: Dropout rate: share of the elements that are dropped.
    seed: int32 `[2]`; determines the dropped elements.
    training: Whether dropout is active.
  """
  if not (training and rate):
    return x
  size = tf.size(x)
  # Each random number of 32 bits gives two of 16 bits, which halves the work.
  bits = tf.random.stateless_uniform(
    [(size + 1) // 2], seed, None, None, tf.int32, alg='philox'
  )
  halves = tf.reshape(tf.bitcast(bits, tf.int16), [-1])[:size]
  dropped = round(rate * 2**16)
  kept = tf.reshape(halves >= dropped - 2**15, tf.shape(x))
  scale = tf.constant(2**16 / (2**16 - dropped), x.dtype)
  return x * tf.where(kept, scale, tf.zeros_like(scale))


def normalize(x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  """Normalises over the last axis (layer normalisation, epsilon 1e-5)."""
  wide = tf.cast(x, tf.float32)
  # Inside of a `tf.cond`, a gradient may use tensors of its branch only.
  scale, bias = tf.identity(scale), tf.identity(bias)
  return tf.cast(_normalize(wide, scale, bias), x.dtype)


@tf.custom_gradient
def _normalize(x, scale, bias):
  """Normalises float32; TensorFlow's own gradient has twice the operations."""
  centred = x - tf.reduce_mean(x, -1, True)
  variance = tf.reduce_mean(tf.square(centred), -1, True)
  inverse = tf.math.rsqrt(variance + 1e-5)
  normal = centred * inverse

  def gradient(upstream):
    of_normal = upstream * scale
    product = upstream * normal
    shared = tf.reduce_mean(of_normal, -1, True)
    along = tf.reduce_mean(product * scale, -1, True)
    rows = list(range(x.shape.rank - 1))
    return (
      (of_normal - shared - normal * along) * inverse,
      tf.reduce_sum(product, rows),
      tf.reduce_sum(upstream, rows),
    )

  return normal * scale + bias, gradient


class UtteranceNormalization(Layer):
  """Normalises an utterance to mean 0 and variance 1, then scales and shifts.

  Mean and variance are one scalar each, over time and bands, padding excluded.
  The scale and the bias are learned scalars.

  Call arguments:
    features: float32 `[batch, frames, bands]`.
    mask: float32 `[batch, frames, 1]`, 1 on frames, 0 on padding.
    affine: Whether to scale and shift.

  Returns float32 `[batch, frames, bands]`, zero on padding.
  """

  def build(self, shape):
    self.scale = self.add_weight('scale', (), initializer='ones')
    self.bias = self.add_weight('bias', (), initializer='zeros')

  def call(self, features, mask, affine=True):
    count = tf.reduce_sum(mask, [1, 2], True) * features.shape[-1]
    count = tf.maximum(count, 1.0)
    mean = tf.reduce_sum(features * mask, [1, 2], True) / count
    centred = (features - mean) * mask
    variance = tf.reduce_sum(tf.square(centred), [1, 2], True) / count
    normal = centred * tf.math.rsqrt(variance + 1e-7)
    return (normal * self.scale + self.bias) * mask if affine else normal


class LayerNormalization(Layer):
  """Layer normalisation over the last axis, epsilon 1e-5, scale and bias."""

  def build(self, shape):
    self.scale = self.add_weight('scale', shape[-1:], initializer='ones')
    self.bias = self.add_weight('bias', shape[-1:], initializer='zeros')

  def call(self, x):
    return normalize(x, self.scale, self.bias)


class GatedConvolution(Layer):
  """Convolution over time and a gated linear unit.

  The padding is equal at both ends and independent of the length.  Therefore
  the windows of an utterance are the same alone and in a padded batch.

  Call arguments:
    x: `[batch, frames, channels]`, zero on padding.

  Returns `[batch, frames // stride, width]` of the type of `x`.
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
      initializer=uniform_fan_in(1.0),
    )
    self.bias = self.add_weight(
      'bias',
      (2 * self.width,),
      initializer=_uniform_bias(self.kernel_size * shape[-1]),
    )

  def call(self, x):
    return self._gated(self._convolved(x, tf.cast(self.kernel, x.dtype)))

  def _convolved(self, x, kernel):
    side = (self.kernel_size - self.stride) // 2
    padded = tf.pad(x, [[0, 0], [side, side], [0, 0]])
    return tf.nn.conv1d(padded, kernel, self.stride, 'VALID')

  def _gated(self, x):
    x = tf.nn.bias_add(x, tf.cast(self.bias, x.dtype))
    value, gate = tf.split(x, 2, axis=-1)
    return value * tf.sigmoid(gate)


class FrontEnd(GatedConvolution):
  """Gated convolution of features, with their scale and their shift.

  The result is that of a `GatedConvolution` of
  `(normal * scale + bias) * spans * bands`.  Here the scale and the bias come
  after the product with the kernel.  So no step needs the gradient of features,
  which would take as long as the convolution.

  Call arguments:
    normal: `[batch, frames, bands]`, zero where `spans` or `bands` is zero.
    spans: float32 `[batch, frames, 1]`, 0 on padding and on masked frames.
    bands: float32 `[batch or 1, bands]`, 0 on masked bands, else 1.
    scale: float32 scalar.
    bias: float32 scalar.

  Returns `[batch, frames // stride, width]` of the type of `normal`.
  """

  def call(self, normal, spans, bands, scale, bias):
    of_normal = self._convolved(normal, tf.cast(self.kernel, normal.dtype))
    windows = self._convolved(spans, tf.eye(self.kernel_size)[:, None])
    of_ones = windows @ tf.tensordot(bands, self.kernel, [[1], [1]])
    x = tf.cast(of_normal, tf.float32) * scale + of_ones * bias
    return self._gated(tf.cast(x, normal.dtype))


class Positions(Layer):
  """Sinusoids of time in seconds, centred per utterance (CAPE).

  In training, all positions of an utterance may get a common random shift,
  earlier or later (Likhomanenko et al., 2021, arXiv 2106.03143).

  Call arguments:
    mask: float32 `[batch, frames, 1]`.
    seed: int32 `[2]`; determines the shifts of the utterances.

  Returns float32 `[batch, frames, width]`, zero on padding.
  """

  def __init__(
    self, width: int, stride: int, max_shift_seconds: float, **kwargs
  ):
    super().__init__(**kwargs)
    self._frame_seconds = stride * features.HOP / features.SAMPLE_RATE
    self._max_shift_seconds = max_shift_seconds
    index = np.arange(width)
    self._frequency = (30.0 * 10_000.0 ** (-2 * (index // 2) / width)).astype(
      np.float32
    )
    self._phase = (np.pi / 2 * (index % 2)).astype(np.float32)

  def call(self, mask, seed, training=False):
    shape = tf.shape(mask)
    length = tf.reduce_sum(mask, [1, 2], True)
    index = tf.cast(tf.range(shape[1])[None, :, None], tf.float32)
    seconds = (index - (length - 1) / 2) * self._frame_seconds
    shift = self._max_shift_seconds
    if training and shift:
      seconds += tf.random.stateless_uniform(
        [shape[0], 1, 1], seed, -shift, shift, alg='philox'
      )
    return tf.sin(seconds * self._frequency + self._phase) * mask


class Output(Layer):
  """Linear layer with bias, to the logits of the vocabulary.

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
      initializer=uniform_fan_in(1.0),
    )
    self.bias = self.add_weight(
      'bias',
      (self.vocabulary_size,),
      initializer=_uniform_bias(shape[-1]),
    )

  def call(self, x):
    rows = tf.reshape(x, [-1, x.shape[-1]]) @ self.kernel + self.bias
    return tf.reshape(rows, [*tf.unstack(tf.shape(x)[:-1]), rows.shape[-1]])
