"""A model for phones: TensorFlow Lite, with its built-in operations alone."""

from collections.abc import Callable, Sequence
import pathlib

import numpy as np
import tensorflow as tf

from tff_asr import checksums
from tff_asr.audio import features
from tff_asr.models.encoder import Encoder
from tff_asr.serving import transcriber
from tff_asr.text import vocabulary as vocabulary_lib

FLOAT16 = 'float16'
INT8 = 'int8'
KINDS = (FLOAT16, INT8)
# What `error` says, as the signatures of a server do in words.
NO_ERROR = 0
TOO_LONG = 1
NO_NUMBERS = 2


def convert(
  encoder: Encoder,
  kind: str,
  max_seconds: float = transcriber.MAX_SECONDS,
) -> bytes:
  """Returns a model of one utterance.

  Its input is `waveform` (float32 `[samples]`, 16 kHz, in [-1, 1]), to be
  resized to the utterance. Its outputs are `tokens` (int32 `[n]`, by greedy
  decoding; their texts are in the `vocabulary.json` of the export),
  `token_starts` (float32 `[n]`, in seconds) and `error` (int32 `[]`):
  `TOO_LONG`, `NO_NUMBERS` (infinity or NaN), either without tokens, or
  `NO_ERROR`.

  Args:
    encoder: The model.
    kind: `float16`: weights are stored in half the space. `int8`: matrices are
      stored, and multiplied, in 8 bits, with activations scaled as they come.
    max_seconds: Longer utterances are refused.
  """
  # Variables cannot be tracked by a function alone.
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
  """Returns models of some kinds by the names of their files."""
  return {
    f'{kind}.tflite': convert(encoder, kind, max_seconds) for kind in kinds
  }


def _transcribe(encoder, waveform, max_seconds):
  limit = int(max_seconds * features.SAMPLE_RATE)
  is_short = tf.size(waveform) <= limit
  waveform = waveform[:limit]
  # Nothing, which the converter cannot know: infinity times it is no number.
  nothing = tf.cast(tf.size(waveform) < 0, tf.float32)
  are_numbers = tf.reduce_all(tf.equal(nothing * waveform, 0.0))
  waveform = waveform[: tf.where(is_short & are_numbers, limit, 0)]
  waveform = tf.clip_by_value(waveform, -1.0, 1.0)
  frames = tf.maximum(features.num_frames(tf.size(waveform)), 0)
  # The encoder takes no fewer frames than one of its outputs stands for.
  least = features.WINDOW + (encoder.config.stride - 1) * features.HOP
  missing = tf.maximum(least - tf.size(waveform), 0)
  # One, which the converter cannot know: what it multiplies by it stores as
  # weights, of 8 bits, and features are to be exact.
  one = tf.cast(frames >= 0, tf.float32)
  log_mel = features.log_mel_float32(tf.pad(waveform, [[0, missing]]), one)
  logits = encoder.call(log_mel[None], frames[None], training=False)[0]
  best = tf.argmax(logits, axis=-1, output_type=tf.int32)
  before = tf.concat([[-1], best[:-1]], 0)
  number = tf.range(tf.size(best))
  kept = tf.not_equal(best, before) & tf.not_equal(best, vocabulary_lib.BLANK)
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
  path: pathlib.Path, vocabulary: vocabulary_lib.Vocabulary, threads: int = 2
) -> Callable[[np.ndarray], str]:
  """Returns what transcribes an utterance: from float32 `[samples]` to text.

  Args:
    path: File of a converted model.
    vocabulary: That of the encoder.
    threads: How many the interpreter may use.

  Raises:
    UserError: If it lies in an export and is not as it was written.
  """
  path = path.absolute()
  checksums.check(path, path.parent.parent)
  interpreter = tf.lite.Interpreter(str(path), num_threads=threads)
  runner = interpreter.get_signature_runner()
  return lambda waveform: vocabulary.decode(
    runner(waveform=waveform)['tokens'].tolist()
  )
