"""Defines the interface of encoders, from log-mel features to CTC logits.

An encoder has two classes.  A frozen dataclass, derived from `EncoderConfig`,
contains the settings.  A Keras model, derived from `Encoder`, is the result of
`EncoderConfig.build`.  One line in `kinds.py` registers the encoder.  Other
packages use encoders only through this interface: `transformer.py` is one
encoder among others.
"""

import abc
from collections.abc import Mapping
import dataclasses
from typing import Any, ClassVar, Self

import tensorflow as tf

from tff_asr import errors
from tff_asr.audio import features
from tff_asr.models import precision

# Class, settings and number format of encoders that this process has checked.
_CHECKED: set[tuple[type, str, str]] = set()
# Change of a logit by padding, as a part of the logits: rounding only.
_GREATEST_CHANGE = 1e-3


def _zero_variable(next_creator, **settings) -> tf.Variable:
  """Creates a variable; a weight that is trained starts from zero."""
  shape = settings.get('shape')
  if shape is not None and settings.get('trainable') is not False:
    settings['initial_value'] = lambda: tf.zeros(shape, settings['dtype'])
  return next_creator(**settings)


class AnyGraph:
  """A base class that keeps a Keras class usable inside and outside graphs.

  TFF builds models inside a `tf.Graph`.  There, Keras' `__new__` replaces the
  bases of a class by TensorFlow 1 bases.  This breaks instances of the class
  that were built eagerly.  With this class as the first base, Keras replaces
  no base.  Keras' own layers lack this class, so encoders do not use them.
  """

  def __new__(cls, *args, **kwargs):
    return object.__new__(cls)


class EncoderConfig(abc.ABC):
  """Sizes and regularisation of an encoder; subclasses are frozen dataclasses.

  Attributes:
    kind: Name of the encoder's kind in `kinds.KINDS` and in model folders.
    vocabulary_size: Number of outputs, the blank included.
    stride: Number of feature frames for each output frame.
  """

  kind: ClassVar[str]
  vocabulary_size: int
  stride: int

  @abc.abstractmethod
  def make(self, precision_name: str) -> 'Encoder':
    """Returns an encoder without weights.

    Args:
      precision_name: Number format to compute in, one of `precision.NAMES`.
    """

  @property
  @abc.abstractmethod
  def description(self) -> str:
    """Description for a model card, for example "an encoder of 2 layers"."""

  def build(self, precision_name: str = precision.FLOAT32) -> 'Encoder':
    """Returns an encoder with initial weights.

    Args:
      precision_name: Number format to compute in, one of `precision.NAMES`.

    Raises:
      UserError: If rounds would not train some weights, or the logits have
        another shape than `Encoder` defines.
    """
    encoder = self._with_weights(precision_name)
    checked = type(self), repr(self), precision_name
    # A graph would grow by further calls.
    if tf.executing_eagerly() and checked not in _CHECKED:
      self._check(encoder, is_exact=precision_name == precision.FLOAT32)
      _CHECKED.add(checked)
    return encoder

  def _with_weights(self, precision_name: str) -> 'Encoder':
    encoder = self.make(precision_name)
    encoder.create_weights()
    if encoder.non_trainable_variables:
      raise errors.UserError(
        f'Encoder {self.kind!r} has weights that are not trained:'
        f' {", ".join(v.name for v in encoder.non_trainable_variables)}.'
        ' Rounds would never change these weights: make them trainable.'
      )
    return encoder

  def _check(self, encoder: 'Encoder', is_exact: bool) -> None:
    """Checks the weights and the logits of some calls.

    Args:
      encoder: The encoder, with weights.
      is_exact: Whether logits are compared with the logits of a padded batch.
    """
    frames = 3 * self.stride - 1
    created = len(encoder.variables)
    logits = encoder(
      *_waves(frames), training=True, seed=tf.zeros([2], tf.int32)
    )
    late = [v.name for v in encoder.variables[created:]]
    errors.require(
      not late,
      f'Encoder {self.kind!r} creates the weights {late} only in training: the'
      ' server would not have them. Create all weights in every first call, or'
      ' in create_weights.',
    )
    expected = (1, self.output_frames(frames), self.vocabulary_size)
    errors.require(
      logits.shape == expected and logits.dtype == tf.float32,
      f'Encoder {self.kind!r} gives {logits.dtype.name} logits of shape'
      f' {tuple(logits.shape)} for {frames} frames, but its settings say'
      f' float32 {expected}: check its stride, output_frames and'
      ' vocabulary_size.',
    )
    if not is_exact:
      return
    alone = encoder(*_waves(frames), training=False)
    padded = encoder(*_waves(frames, padding=4 * self.stride), training=False)
    change = tf.reduce_max(tf.abs(padded[:, : alone.shape[1]] - alone))
    scale = 1.0 + tf.reduce_max(tf.abs(alone))
    errors.require(
      not change > _GREATEST_CHANGE * scale,
      f'Encoder {self.kind!r} gives other logits if its input is padded'
      f' (by {change:.2g}): an utterance would depend on the others of its'
      ' batch. Mask the frames after its lengths in every layer.',
    )

  def build_zero(self, precision_name: str = precision.FLOAT32) -> 'Encoder':
    """Returns an encoder whose initial weights are zero.

    A graph with these weights takes a third of the time to build.  It suits a
    caller that overwrites the weights, or only asks for their sizes.  Zeros
    would hide most faults, so the encoder is not checked as in `build`.

    Args:
      precision_name: Number format to compute in, one of `precision.NAMES`.
    """
    with tf.variable_creator_scope(_zero_variable):
      return self._with_weights(precision_name)

  def layer_sizes(self) -> dict[str, int]:
    """Returns `Encoder.layer_sizes`, without memory for the weights."""
    with tf.Graph().as_default():
      return self.build_zero().layer_sizes()

  def output_frames(self, frames):
    """Returns the number of output frames for a number of feature frames.

    Args:
      frames: Integers of Python, NumPy or TensorFlow, of any shape.
    """
    return frames // self.stride

  @property
  def frame_seconds(self) -> float:
    """Seconds from one output frame to the next."""
    return self.stride * features.HOP / features.SAMPLE_RATE

  def with_regularisation(self, rates: Mapping[str, float]) -> Self:
    """Returns the settings with other regularisation rates.

    Args:
      rates: Rates by name, for example `dropout` and `layer_drop`.

    Raises:
      UserError: If this kind of encoder has no rate of that name.
    """
    for name in rates.keys() - {f.name for f in dataclasses.fields(self)}:
      raise errors.UserError(
        f'An encoder of kind {self.kind!r} has no `{name}`: leave out'
        f' `{name}={rates[name]:g}`, or choose another model.'
      )
    return dataclasses.replace(self, **rates)

  def to_json(self) -> dict[str, Any]:
    """Returns the settings as JSON values, for `from_json`."""
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, values: Mapping[str, Any]) -> Self:
    """Returns the settings that `to_json` wrote.

    Raises:
      KeyError, TypeError, ValueError: If a value is missing, unknown or wrong.
    """
    return cls(**values)


def _waves(frames: int, padding: int = 0) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the features and the length of an utterance, without randomness.

  Args:
    frames: Number of frames.
    padding: Number of frames after the utterance, all of them 5.
  """
  wave = tf.sin(tf.range(frames * features.MEL_BANDS, dtype=tf.float32))
  utterance = tf.reshape(wave, [1, frames, features.MEL_BANDS])
  padded = tf.pad(utterance, [[0, 0], [0, padding], [0, 0]], constant_values=5)
  return padded, tf.constant([frames])


class Encoder(AnyGraph, tf.keras.Model):
  """A Keras model from log-mel features to CTC logits.

  Call arguments:
    features: float32 `[batch, frames, 80]`, at least `config.stride` frames.
    lengths: int32 `[batch]`, number of frames of each utterance.
    training: Whether dropout and other regularisation are active.
    seed: int32 `[2]`; determines all random numbers of a call.  By default,
      TensorFlow's global generator draws them.

  Returns float32 logits `[batch, config.output_frames(frames), vocabulary]`.
  For utterance b, the first `config.output_frames(lengths[b])` frames are valid
  and independent of the batch's padding.  Callers ignore the other frames.
  Weights are float32, and all of them are trained.

  Attributes:
    config: Settings of the encoder.
  """

  def __init__(self, config: EncoderConfig, **kwargs):
    """Builds an encoder without weights.

    Args:
      config: Settings of the encoder.
      **kwargs: Passed to Keras.
    """
    super().__init__(autocast=False, **kwargs)
    self.config = config

  def get_config(self):
    return self.config.to_json()

  def create_weights(self) -> None:
    """Creates the weights, by a call of the encoder.

    An encoder may create its weights without a call.  A round of training
    creates the weights five times but calls the encoder once: its graphs then
    take less time to build.
    """
    stride = self.config.stride
    silence = tf.zeros([1, stride, features.MEL_BANDS])
    self(silence, tf.constant([stride]), training=False)

  def layer_sizes(self) -> dict[str, int]:
    """Returns the number of coordinates of each trainable tensor, in order.

    For example, the name of the variable `transformer/block_0/qkv:0` is
    `block_0/qkv`.
    """
    return {
      v.name.split(':')[0].partition('/')[2]: v.shape.num_elements()
      for v in self.trainable_variables
    }
