"""Models for phones: TensorFlow Lite with built-in operations only."""

from collections.abc import Callable, Sequence
import pathlib

import numpy as np
import tensorflow as tf

from tff_asr import checksums
from tff_asr.audio import features
from tff_asr.models.encoder import Encoder
from tff_asr.serving import transcriber
from tff_asr.text import vocabularies

FLOAT16 = 'float16'
INT8 = 'int8'
KINDS = (FLOAT16, INT8)
# Values of `error`; the signatures of a server give the same errors as text.
NO_ERROR = 0
TOO_LONG = 1
NO_NUMBERS = 2


def convert(
  encoder: Encoder,
  kind: str,
  max_seconds: float = transcriber.MAX_SECONDS,
) -> bytes:
  """Converts an encoder to a model that transcribes one utterance.

  The input of the model is `waveform` (float32 `[samples]`, 16 kHz, in [-1,
  1]), which the caller resizes to the utterance.  The outputs are `tokens`
  (int32 `[n]`, from greedy decoding; the texts of the tokens are in the
  `vocabulary.json` of the export), `token_starts` (float32 `[n]`, in seconds)
  and `error` (int32 `[]`).  The error is `TOO_LONG` or `NO_NUMBERS` (infinity
  or NaN), both without tokens, or `NO_ERROR`.

  Args:
    encoder: The model.
    kind: `float16` stores weights in half the space.  `int8` stores and
      multiplies matrices in 8 bits; activations are scaled at run time.
    max_seconds: Greatest length; longer utterances are refused.

  Returns:
    The contents of the model's file.
  """
  # The module tracks the variables for the converter; a function cannot.
  module = tf.Module()
  module.weights = list(encoder.variables)
  function = tf.function(
    lambda waveform: _transcribe(encoder, waveform, max_seconds),
    input_signature=[tf.TensorSpec([None], tf.float32, 'waveform')],
  )
  module.transcribe = function
  converter = tf.lite.TFLiteConverter.from_concrete_functions(
    [function.get_concrete_function()], module
  )
  converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if kind == FLOAT16:
    converter.target_spec.supported_types = [tf.float16]
  return converter.convert()


def models(
  encoder: Encoder,
  kinds: Sequence[str] = KINDS,
  max_seconds: float = transcriber.MAX_SECONDS,
) -> dict[str, bytes]:
  """Returns models of several kinds, by the names of their files."""
  return {
    f'{kind}.tflite': convert(encoder, kind, max_seconds) for kind in kinds
  }


def _transcribe(encoder, waveform, max_seconds):
  limit = int(max_seconds * features.SAMPLE_RATE)
  is_short = tf.size(waveform) <= limit
  waveform = waveform[:limit]
  # Zero, but the converter sees no constant.  Infinity times zero is NaN.
  nothing = tf.cast(tf.size(waveform) < 0, tf.float32)
  are_numbers = tf.reduce_all(tf.equal(nothing * waveform, 0.0))
  waveform = waveform[: tf.where(is_short & are_numbers, limit, 0)]
  waveform = tf.clip_by_value(waveform, -1.0, 1.0)
  frames = tf.maximum(features.num_frames(tf.size(waveform)), 0)
  # The encoder needs at least as many frames as one frame of its output covers.
  least = features.WINDOW + (encoder.config.stride - 1) * features.HOP
  missing = tf.maximum(least - tf.size(waveform), 0)
  # One, but the converter sees no constant.  It would store the constant matrix
  # of a product as weights of 8 bits, but the features must be exact.
  one = tf.cast(frames >= 0, tf.float32)
  log_mel = features.log_mel_float32(tf.pad(waveform, [[0, missing]]), one)
  logits = encoder.call(log_mel[None], frames[None], training=False)[0]
  best = tf.argmax(logits, axis=-1, output_type=tf.int32)
  before = tf.concat([[-1], best[:-1]], 0)
  number = tf.range(tf.size(best))
  kept = tf.not_equal(best, before) & tf.not_equal(best, vocabularies.BLANK)
  kept &= number < encoder.config.output_frames(frames)
  starts = tf.cast(tf.boolean_mask(number, kept), tf.float32)
  return {
    'tokens': tf.boolean_mask(best, kept),
    'token_starts': starts * encoder.config.frame_seconds,
    'error': tf.where(
      is_short, tf.where(are_numbers, NO_ERROR, NO_NUMBERS), TOO_LONG
    ),
  }


def load(
  path: pathlib.Path, vocabulary: vocabularies.Vocabulary, threads: int = 2
) -> Callable[[np.ndarray], str]:
  """Loads a model; returns a function from float32 `[samples]` to text.

  Args:
    path: File of a converted model.
    vocabulary: Vocabulary of the encoder.
    threads: Most threads of the interpreter.

  Raises:
    UserError: If the file is part of an export and was changed since then.
  """
  path = path.absolute()
  checksums.check(path, path.parent.parent)
  interpreter = tf.lite.Interpreter(str(path), num_threads=threads)
  runner = interpreter.get_signature_runner()
  return lambda waveform: vocabulary.decode(
    runner(waveform=waveform)['tokens'].tolist()
  )
