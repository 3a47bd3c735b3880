"""What a transformer block computes, traced once for all blocks of a model.

A graph that holds 36 copies of a block takes 36 times as long to make, to
differentiate and to ship. Here the block is one function of its input and its
weights, which a graph holds once and calls for each block.
"""

from collections.abc import Callable
import dataclasses

import tensorflow as tf

from tff_asr import tracing
from tff_asr.models import layers


@dataclasses.dataclass(frozen=True)
class BlockConfig:
  """What all blocks of a model have in common.

  Attributes:
    heads: Number of attention heads.
    dropout: Rate at which attention weights and hidden units are dropped.
    layer_drop: Probability with which a block is left out, for a whole batch.
    post_norm: Whether sums are normalised (Vaswani et al., 2017) and not the
      inputs of attention and perceptron (Xiong et al., 2020, arXiv 2002.04745).
  """

  heads: int
  dropout: float
  layer_drop: float
  post_norm: bool


def function(
  config: BlockConfig,
  width: int,
  mlp_width: int,
  dtype: tf.DType,
  inline: bool,
) -> Callable[[bool], tf.types.experimental.GenericFunction]:
  """Returns what gives the function of a block, for training or not.

  The function's arguments:
    x: `[batch, frames, width]` of type `dtype`.
    key_bias: float32 `[batch, 1, 1, frames]`, 0 on frames, very low on padding.
    seed: int32 `[2]`; decides what is dropped.
    weights: Eight, float32, in the order of `layers.Block.shared_inputs`.

  It returns `[batch, frames, width]` of type `dtype`.

  Args:
    config: What blocks have in common.
    width: Size of the vectors between blocks.
    mlp_width: Size of the hidden layer.
    dtype: What blocks compute in.
    inline: Whether TensorFlow puts a copy of the block in place of each call
      when it runs a graph: steps are 6 % faster, but each block is optimised on
      its own before the first.
  """

  def tensor(*shape):
    return tf.TensorSpec(shape, tf.float32)

  signature = [
    tf.TensorSpec([None, None, width], dtype),
    tensor(None, 1, 1, None),
    tf.TensorSpec([2], tf.int32),
    *(tensor(width), tensor(width)),
    *(tensor(width, 3 * width), tensor(width, width)),
    *(tensor(width), tensor(width)),
    *(tensor(width, mlp_width), tensor(mlp_width, width)),
  ]

  def make(training: bool):
    trace = tf.function if inline else tracing.once_per_shape
    return trace(
      lambda x, key_bias, seed, *weights: _run(
        config, training, x, key_bias, seed, weights
      ),
      input_signature=signature,
    )

  functions = make(False), make(True)
  return lambda training: functions[training]


def _run(config, training, x, key_bias, seed, weights):
  """Runs a block, or in training leaves it out with one coin for the batch.

  Nothing is rescaled for blocks that are left out, as in Pelikan et al.
  """

  def block():
    return _block(config, training, x, key_bias, seed, weights)

  if not (training and config.layer_drop):
    return block()
  coin = tf.random.stateless_uniform([], seed)
  return tf.cond(coin < config.layer_drop, lambda: tf.identity(x), block)


def _block(config, training, x, key_bias, seed, weights):
  attention_scale, attention_bias, *attention_matrices = weights[:4]
  mlp_scale, mlp_bias, *mlp_matrices = weights[4:]
  qkv, attention_out, mlp_in, mlp_out = (
    tf.cast(w, x.dtype) for w in attention_matrices + mlp_matrices
  )
  attention_seed, mlp_seed = seed + 1, seed + 2

  shape = tf.shape(x)

  # A product of matrices, for which frames are rows, takes half the time of one
  # of a matrix and many.
  def attention(rows):
    rows = _attention(
      config,
      training,
      rows,
      shape,
      key_bias,
      attention_seed,
      qkv,
    )
    return rows @ attention_out

  def mlp(rows):
    hidden = tf.nn.relu(rows @ mlp_in)
    hidden = layers.dropout(hidden, config.dropout, mlp_seed, training)
    return hidden @ mlp_out

  rows = tf.reshape(x, [-1, x.shape[-1]])
  if config.post_norm:
    rows = layers.normalize(
      rows + attention(rows), attention_scale, attention_bias
    )
    rows = layers.normalize(rows + mlp(rows), mlp_scale, mlp_bias)
  else:
    rows += attention(layers.normalize(rows, attention_scale, attention_bias))
    rows += mlp(layers.normalize(rows, mlp_scale, mlp_bias))
  return tf.reshape(rows, shape)


def _attention(config, training, rows, shape, key_bias, seed, qkv_matrix):
  """What every frame takes from the others, before the last product."""
  heads, width = config.heads, rows.shape[-1]
  qkv = tf.reshape(
    rows @ qkv_matrix, [shape[0], shape[1], 3, heads, width // heads]
  )
  query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
  query *= tf.cast((width // heads) ** -0.5, rows.dtype)
  logits = tf.matmul(query, key, transpose_b=True)
  weights = tf.nn.softmax(tf.cast(logits, tf.float32) + key_bias)
  weights = tf.cast(weights, rows.dtype)
  weights = layers.dropout(weights, config.dropout, seed, training)
  mixed = tf.transpose(weights @ value, [0, 2, 1, 3])
  return tf.reshape(mixed, [-1, width])
