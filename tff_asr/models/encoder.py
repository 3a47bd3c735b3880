"""The interface of an encoder: from log-mel features to CTC logits.

An encoder is a frozen dataclass of its settings, derived from `EncoderConfig`,
and a Keras model that `build` makes of them, derived from `Encoder`. One line
in `kinds.py` registers it. All other rooms use encoders by this interface, so
that `transformer.py` is one encoder among others.
"""

import abc
from collections.abc import Mapping
import dataclasses
from typing import Any, ClassVar, Self

import tensorflow as tf

from tff_asr import errors
from tff_asr.audio import features
from tff_asr.models import precision


class AnyGraph:
  """A base that keeps a Keras class usable inside and outside of graphs.

  TFF makes models inside a `tf.Graph`. There, `__new__` of Keras exchanges the
  bases of a class for those of TensorFlow 1, which breaks the instances that
  were made eagerly. With this base before Keras' own, no base is exchanged.
  Layers of Keras itself have the exchange, so encoders do not use them.
  """

  def __new__(cls, *args, **kwargs):
    return object.__new__(cls)


class EncoderConfig(abc.ABC):
  """Sizes and regularisation of an encoder; subclasses are frozen dataclasses.

  Attributes:
    kind: Name of the encoder's kind in `kinds.KINDS` and in model folders.
    vocabulary_size: Number of outputs, the blank included.
    stride: Feature frames for each frame of the output.
  """

  kind: ClassVar[str]
  vocabulary_size: int
  stride: int

  @abc.abstractmethod
  def make(self, precision_name: str) -> 'Encoder':
    """Returns an encoder whose weights its first call makes.

    Args:
      precision_name: Number format to compute in, one of `precision.NAMES`.
    """

  @property
  @abc.abstractmethod
  def description(self) -> str:
    """The encoder in words for a model card, as "an encoder of 2 layers"."""

  def build(self, precision_name: str = precision.FLOAT32) -> 'Encoder':
    """Returns an encoder whose weights exist.

    Args:
      precision_name: Number format to compute in, one of `precision.NAMES`.

    Raises:
      TypeError: If some of them are not trainable.
    """
    encoder = self.make(precision_name)
    encoder(
      tf.zeros([1, self.stride, features.MEL_BANDS]),
      tf.constant([self.stride]),
      training=False,
    )
    if encoder.non_trainable_variables:  # Rounds would leave them as they are.
      raise TypeError(
        f'Encoder {self.kind!r} has weights that are not trained:'
        f' {", ".join(v.name for v in encoder.non_trainable_variables)}.'
      )
    return encoder

  def layer_sizes(self) -> dict[str, int]:
    """Returns `Encoder.layer_sizes` of such an encoder; allocates no weight."""
    with tf.Graph().as_default():
      return self.build().layer_sizes()

  def output_frames(self, frames):
    """Returns the number of output frames for a number of feature frames.

    Args:
      frames: An integer of Python, NumPy or TensorFlow, of any shape.
    """
    return frames // self.stride

  @property
  def frame_seconds(self) -> float:
    """Seconds from one output frame to the next."""
    return self.stride * features.HOP / features.SAMPLE_RATE

  def with_regularisation(self, rates: Mapping[str, float]) -> Self:
    """Returns the same encoder with other rates of regularisation.

    Args:
      rates: By name, for instance `dropout` and `layer_drop`.

    Raises:
      UserError: If this kind of encoder has no such rate.
    """
    for name in rates.keys() - {f.name for f in dataclasses.fields(self)}:
      raise errors.UserError(
        f'An encoder of kind {self.kind!r} has no `{name}`: leave out'
        f' `{name}={rates[name]:g}`, or choose another model.'
      )
    return dataclasses.replace(self, **rates)

  def to_json(self) -> dict[str, Any]:
    """Returns what `from_json` takes."""
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, values: Mapping[str, Any]) -> Self:
    """Returns the inverse of `to_json`.

    Raises:
      KeyError, TypeError, ValueError: If a value is missing, unknown or wrong.
    """
    return cls(**values)


class Encoder(AnyGraph, tf.keras.Model):
  """A Keras model from log-mel features to CTC logits.

  Call arguments:
    features: float32 `[batch, frames, 80]`, at least `config.stride` frames.
    lengths: int32 `[batch]`, frames of each utterance.
    training: Whether dropout and the like are on.
    seed: int32 `[2]`; decides all random numbers of a call. By default they
      come from TensorFlow's global generator.

  Returns float32 logits `[batch, config.output_frames(frames), vocabulary]`. Of
  utterance b the first `config.output_frames(lengths[b])` are valid, whatever
  the padding of the batch is; callers ignore the others. Weights are float32
  and all of them are trained.

  Attributes:
    config: The settings.
  """

  def __init__(self, config: EncoderConfig, **kwargs):
    """Keeps the settings.

    Args:
      config: Of the encoder.
      **kwargs: Passed to Keras.
    """
    super().__init__(autocast=False, **kwargs)
    self.config = config

  def get_config(self):
    return self.config.to_json()

  def layer_sizes(self) -> dict[str, int]:
    """Returns the number of coordinates of each trainable tensor, in order.

    Names are `block_0/qkv` for a variable named `transformer/block_0/qkv:0`.
    """
    return {
      v.name.split(':')[0].partition('/')[2]: v.shape.num_elements()
      for v in self.trainable_variables
    }
