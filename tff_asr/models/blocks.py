"""Builds transformer blocks, which are traced once for all blocks of a model.

A graph with 36 copies of a block takes 36 times as long to build, to
differentiate and to send.  Here a block is one function of its input and its
weights.  A graph contains the function once and calls it for each block.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import NamedTuple

import tensorflow as tf

from tff_asr import tracing
from tff_asr.models import layers


@dataclasses.dataclass(frozen=True)
class BlockConfig:
  """Settings that all blocks of a model share.

  Attributes:
    width: Size of the vectors between blocks.
    mlp_width: Size of the hidden layer.
    heads: Number of attention heads.
    dropout: Dropout rate of attention weights and hidden units.
    layer_drop: Layer-drop rate: probability that a whole batch skips a block.
    post_norm: Whether blocks normalise their sums (Vaswani et al., 2017) and
      not the inputs of attention and perceptron (Xiong et al., 2020, arXiv
      2002.04745).
  """

  width: int
  mlp_width: int
  heads: int
  dropout: float
  layer_drop: float
  post_norm: bool


class BlockWeights(NamedTuple):
  """Weights of a block, float32; matrices map rows and have no biases.

  Attributes:
    attention_scale: Scale of the normalisation at the attention, `[width]`.
    attention_bias: Bias of the normalisation at the attention, `[width]`.
    qkv: Matrix of queries, keys and values of all heads, `[width, 3 * width]`.
    attention_out: Matrix after the attention, `[width, width]`.
    mlp_scale: Scale of the normalisation at the perceptron, `[width]`.
    mlp_bias: Bias of the normalisation at the perceptron, `[width]`.
    mlp_in: First matrix of the perceptron, `[width, mlp_width]`.
    mlp_out: Second matrix of the perceptron, `[mlp_width, width]`.
  """

  attention_scale: tf.Tensor
  attention_bias: tf.Tensor
  qkv: tf.Tensor
  attention_out: tf.Tensor
  mlp_scale: tf.Tensor
  mlp_bias: tf.Tensor
  mlp_in: tf.Tensor
  mlp_out: tf.Tensor


BlockFunction = Callable[[bool], tf.types.experimental.GenericFunction]


class Block(layers.Layer):
  """A block: its own weights and the function that all blocks share.

  Call arguments:
    x: `[batch, frames, width]`.
    key_bias: float32 `[batch, 1, 1, frames]`, see `block_function`.
    seed: int32 `[2]`; determines which elements are dropped.
    training: Whether dropout and layer drop are active.

  Returns `[batch, frames, width]` of the type of `x`.
  """

  def __init__(self, mlp_width: int, function: BlockFunction, **kwargs):
    """Builds a block without weights.

    Args:
      mlp_width: Size of the hidden layer.
      function: Result of `block_function`.
      **kwargs: Passed to Keras.
    """
    super().__init__(**kwargs)
    self.mlp_width = mlp_width
    self._function = function
    self.attention_norm = layers.LayerNormalization(name='attention_norm')
    self.mlp_norm = layers.LayerNormalization(name='mlp_norm')

  def build(self, shape):
    def matrix(name, rows, columns):
      return self.add_weight(
        name, (rows, columns), initializer=layers.uniform_fan_in(1.0 / 3.0)
      )

    width = shape[-1]
    self.qkv = matrix('qkv', width, 3 * width)
    self.attention_out = matrix('attention_out', width, width)
    self.mlp_in = matrix('mlp_in', width, self.mlp_width)
    self.mlp_out = matrix('mlp_out', self.mlp_width, width)
    for norm in self.attention_norm, self.mlp_norm:
      layers.create_weights(norm, shape)

  def block_weights(self) -> BlockWeights:
    """Returns the weights, as variables."""
    return BlockWeights(
      attention_scale=self.attention_norm.scale,
      attention_bias=self.attention_norm.bias,
      qkv=self.qkv,
      attention_out=self.attention_out,
      mlp_scale=self.mlp_norm.scale,
      mlp_bias=self.mlp_norm.bias,
      mlp_in=self.mlp_in,
      mlp_out=self.mlp_out,
    )

  def call(self, x, key_bias, seed, training=False):
    run = self._function(bool(training))
    return run(x, key_bias, seed, *self.block_weights())


def block_function(
  config: BlockConfig, dtype: tf.DType, inline: bool
) -> BlockFunction:
  """Returns a function from `training` to the traced function of a block.

  Arguments of the traced function:
    x: `[batch, frames, width]` of type `dtype`.
    key_bias: float32 `[batch, 1, 1, frames]`, 0 on frames, very low on padding.
    seed: int32 `[2]`; determines which elements are dropped.
    weights: Fields of `BlockWeights`, one argument for each.

  The traced function returns `[batch, frames, width]` of type `dtype`.

  Args:
    config: Settings of the blocks.
    dtype: Type that blocks compute in.
    inline: Whether TensorFlow replaces each call by a copy of the block when it
      runs a graph.  Steps are then 6 % faster, but TensorFlow optimises each
      copy before the first step.
  """

  def tensor(*shape):
    return tf.TensorSpec(shape, tf.float32)

  width, mlp_width = config.width, config.mlp_width
  signature = [
    tf.TensorSpec([None, None, width], dtype),
    tensor(None, 1, 1, None),
    tf.TensorSpec([2], tf.int32),
    *BlockWeights(
      attention_scale=tensor(width),
      attention_bias=tensor(width),
      qkv=tensor(width, 3 * width),
      attention_out=tensor(width, width),
      mlp_scale=tensor(width),
      mlp_bias=tensor(width),
      mlp_in=tensor(width, mlp_width),
      mlp_out=tensor(mlp_width, width),
    ),
  ]

  def make(training: bool):
    computation = _Computation(config, training)
    inlined = functools.partial(tf.function, autograph=False)
    trace = inlined if inline else tracing.once_per_shape
    return trace(
      lambda x, key_bias, seed, *weights: computation.run(
        x, key_bias, seed, BlockWeights(*weights)
      ),
      input_signature=signature,
    )

  functions = make(False), make(True)
  return lambda training: functions[training]


@dataclasses.dataclass(frozen=True)
class _Computation:
  """Operations of a block, in training or not."""

  config: BlockConfig
  training: bool

  def run(self, x, key_bias, seed, weights: BlockWeights):
    """Runs a block; in training, one random draw may skip it for the batch.

    As in Pelikan et al. (2025, arXiv 2310.00098), results are not rescaled for
    the skipped blocks.
    """

    def block():
      return self._block(x, key_bias, seed, weights)

    if not (self.training and self.config.layer_drop):
      return block()
    coin = tf.random.stateless_uniform([], seed)
    return tf.cond(coin < self.config.layer_drop, lambda: tf.identity(x), block)

  def _block(self, x, key_bias, seed, weights):
    qkv, attention_out, mlp_in, mlp_out = (
      tf.cast(w, x.dtype)
      for w in (
        *(weights.qkv, weights.attention_out),
        *(weights.mlp_in, weights.mlp_out),
      )
    )
    attention_seed, mlp_seed = seed + 1, seed + 2
    shape = tf.shape(x)

    # A product of two matrices, with frames as rows, takes half the time of a
    # product of one matrix with many.
    def attention(rows):
      mixed = self._attend(rows @ qkv, shape, key_bias, attention_seed)
      return mixed @ attention_out

    def mlp(rows):
      hidden = tf.nn.relu(rows @ mlp_in)
      return self._dropout(hidden, mlp_seed) @ mlp_out

    def attention_norm(rows):
      return layers.normalize(
        rows, weights.attention_scale, weights.attention_bias
      )

    def mlp_norm(rows):
      return layers.normalize(rows, weights.mlp_scale, weights.mlp_bias)

    rows = tf.reshape(x, [-1, x.shape[-1]])
    if self.config.post_norm:
      rows = attention_norm(rows + attention(rows))
      rows = mlp_norm(rows + mlp(rows))
    else:
      rows += attention(attention_norm(rows))
      rows += mlp(mlp_norm(rows))
    return tf.reshape(rows, shape)

  def _attend(self, qkv, shape, key_bias, seed):
    """Returns the sums of the frames' values, weighted by attention.

    Args:
      qkv: `[batch * frames, 3 * width]`, queries, keys and values.
      shape: int32 `[3]`: batch, frames, width.
      key_bias: float32 `[batch, 1, 1, frames]`.
      seed: int32 `[2]`.

    Returns:
      `[batch * frames, width]`, the heads side by side.
    """
    heads, width = self.config.heads, self.config.width
    size = width // heads
    qkv = tf.reshape(qkv, [shape[0], shape[1], 3, heads, size])
    query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
    query *= tf.cast(size**-0.5, query.dtype)
    logits = tf.matmul(query, key, transpose_b=True)
    weights = tf.nn.softmax(tf.cast(logits, tf.float32) + key_bias)
    weights = self._dropout(tf.cast(weights, value.dtype), seed)
    mixed = tf.transpose(weights @ value, [0, 2, 1, 3])
    return tf.reshape(mixed, [-1, width])

  def _dropout(self, x, seed):
    return layers.dropout(x, self.config.dropout, seed, self.training)
