"""Finds models that diverged: no transcript of theirs means anything."""

import numpy as np
import tensorflow as tf

from tff_asr import errors
from tff_asr.audio import features
from tff_asr.models.encoder import Encoder

_OUTPUT_FRAMES = 8


def fault(encoder: Encoder) -> str | None:
  """Returns the fault of a model that is not finite, or `None`.

  The result depends on nothing but the model: the input is made here.

  Args:
    encoder: A model with weights.

  Returns:
    The fault as the end of a sentence about the model.
  """
  if not all(np.isfinite(weight).all() for weight in encoder.get_weights()):
    return 'has weights that are not finite (NaN or infinity)'
  frames = _OUTPUT_FRAMES * encoder.config.stride
  noise = np.random.default_rng(0).normal(size=[1, frames, features.MEL_BANDS])
  logits = encoder(
    tf.constant(noise, tf.float32), tf.constant([frames]), training=False
  )
  # A token may have a logit of minus infinity: it is never emitted.
  if np.isnan(tf.nn.log_softmax(logits)).any():
    return 'has outputs that are not finite (NaN or infinity)'
  return None


def check(encoder: Encoder, name: str, remedy: str) -> None:
  """Checks that the weights and the outputs of a model are finite.

  Args:
    encoder: A model with weights.
    name: The model in words, the beginning of a sentence.
    remedy: The remedy, without a full stop.

  Raises:
    UserError: If a weight or an output is not finite.
  """
  found = fault(encoder)
  errors.require(found is None, f'{name} {found}: {remedy}.')
