"""An encoder of one convolution, of another stride than the transformer's."""

import contextlib
import dataclasses
from typing import ClassVar

import pytest
import tensorflow as tf

from tff_asr.models import encoder, kinds, layers, presets

PRESET = 'one-convolution'


@dataclasses.dataclass(frozen=True)
class ConvolutionConfig(encoder.EncoderConfig):
  kind: ClassVar[str] = 'convolution'

  vocabulary_size: int
  width: int = 16
  stride: int = 4
  dropout: float = 0.0

  @property
  def description(self):
    return f'an encoder of one convolution, width {self.width}'

  def make(self, precision_name):
    del precision_name
    return ConvolutionEncoder(self)


class ConvolutionEncoder(encoder.Encoder):
  def __init__(self, config):
    super().__init__(config)
    self.normalization = layers.UtteranceNormalization(name='normalization')
    self.convolution = layers.GatedConvolution(
      config.width, config.stride + 4, config.stride, name='convolution'
    )
    self.output_layer = layers.Output(config.vocabulary_size, name='output')

  def call(self, features, lengths, training=False, seed=None):
    mask = tf.sequence_mask(lengths, tf.shape(features)[1], tf.float32)
    x = self.convolution(self.normalization(features, mask[..., None]))
    if training and seed is None:
      seed = tf.random.uniform([2], 0, tf.int32.max, tf.int32)
    x = layers.dropout(x, self.config.dropout, seed, training)
    # Outputs far apart: otherwise one token is the best on all frames.
    return 8.0 * self.output_layer(x)


@contextlib.contextmanager
def registered():
  """The kind in its line of `kinds.py`, and a preset of it."""
  with pytest.MonkeyPatch.context() as patched:
    patched.setitem(kinds.KINDS, ConvolutionConfig.kind, ConvolutionConfig)
    patched.setitem(
      presets.PRESETS, PRESET, dict(kind=ConvolutionConfig.kind, width=12)
    )
    yield
