"""Measures the CTC loss and its gradient: kernel, plain operations, XLA."""

from collections.abc import Callable
import time

import numpy as np
import tensorflow as tf

from tff_asr.models import ctc, ctc_forward_backward

# Utterances, frames, tokens of a batch.
_SIZES = ((2, 100, 40), (8, 400, 120))
_VOCABULARY = 30
_TURNS = 30
_SUBJECTS = {
  "TensorFlow's kernel": (ctc.loss, None),
  'plain operations': (ctc_forward_backward.loss, None),
  'plain operations, XLA': (ctc_forward_backward.loss, True),
}


def run() -> str:
  """Returns the table: the shortest time of each form of the loss, by size."""
  titles = [' x '.join(map(str, size)) for size in _SIZES]
  columns = [_shortest(*size) for size in _SIZES]
  rows = [
    ('CTC loss and gradient', titles),
    *(
      (name, [f'{column[name] * 1e3:.2f} ms' for column in columns])
      for name in _SUBJECTS
    ),
  ]
  return '\n'.join(
    f'{name:24}' + ''.join(f'{cell:>16}' for cell in cells)
    for name, cells in rows
  )


def _shortest(batch: int, frames: int, tokens: int) -> dict[str, float]:
  """Returns the shortest time of each subject, in seconds.  They take turns."""
  rng = np.random.default_rng(0)
  arguments = (
    tf.constant(rng.normal(size=[batch, frames, _VOCABULARY]), tf.float32),
    tf.fill([batch], frames),
    tf.constant(rng.integers(1, _VOCABULARY, [batch, tokens]), tf.int32),
    tf.fill([batch], tokens),
  )
  functions = {
    name: tf.function(_gradient_of(loss), jit_compile=xla, autograph=False)
    for name, (loss, xla) in _SUBJECTS.items()
  }
  times = {name: [] for name in functions}
  for turn in range(_TURNS + 2):
    for name, function in functions.items():
      start = time.perf_counter()
      function(*arguments).numpy()
      if turn > 1:  # The first calls trace and compile.
        times[name].append(time.perf_counter() - start)
  return {name: min(of_name) for name, of_name in times.items()}


def _gradient_of(loss: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
  def gradient(logits, *rest):
    return tf.gradients(loss(logits, *rest), logits)[0]

  return gradient
