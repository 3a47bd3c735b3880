"""Measures building and training an encoder by precision, and the CTC loss."""

import os
import time

import numpy as np
import tensorflow as tf

from tff_asr import errors
from tff_asr.audio import features
from tff_asr.benchmarks import ctc_loss
from tff_asr.learning import training_step
from tff_asr.models import precision, presets

_UTTERANCE_SECONDS = 4
_VOCABULARY = 30
_STEPS = 5
_LEARNING_RATE = 1e-3


def run(model: str, batch_seconds: float) -> str:
  """Returns the tables of the speed of a preset and of the CTC loss.

  Args:
    model: Name of the preset.
    batch_seconds: Audio in a batch, in seconds.
  """
  lines = [
    f'{model}, {batch_seconds:g} s a batch, {os.cpu_count()} cores, load'
    f' {os.getloadavg()[0]:.1f} at the start',
    f'{"":16}{"to the first step":>20}{"a step":>12}{"loss":>10}',
  ]
  for name in precision.NAMES:
    try:
      precision.check(name)
    except errors.UserError as error:
      lines.append(f'{name:16}{error}')
    else:
      lines.append(f'{name:16}' + _measure(model, name, batch_seconds))
  return '\n'.join([*lines, '', ctc_loss.run()])


def _measure(model: str, precision_name: str, batch_seconds: float) -> str:
  batch = _batch(batch_seconds)
  tf.keras.utils.set_random_seed(0)
  start = time.perf_counter()
  encoder = presets.preset(model, _VOCABULARY).build(precision_name)
  mean_loss = tf.keras.metrics.Mean()
  step = training_step.build(
    encoder,
    training_step.sgd(encoder.trainable_variables, _LEARNING_RATE),
    mean_loss=mean_loss,
  )
  step(batch)
  loss = float(mean_loss.result())
  first = time.perf_counter() - start
  times = []
  for _ in range(_STEPS):
    start = time.perf_counter()
    step(batch)
    mean_loss.result().numpy()  # Waits for the end of the step.
    times.append(time.perf_counter() - start)
  return f'{first:18.1f} s{min(times):10.3f} s{loss:10.1f}'


def _batch(batch_seconds: float):
  """Returns a batch of noise with utterances as long as speech."""
  rng = np.random.default_rng(0)
  count = max(1, int(batch_seconds / _UTTERANCE_SECONDS))
  frames = features.num_frames(_UTTERANCE_SECONDS * features.SAMPLE_RATE)
  tokens = 12 * _UTTERANCE_SECONDS
  return {
    'features': tf.constant(
      rng.normal(5.0, 3.0, [count, frames, features.MEL_BANDS]), tf.float32
    ),
    'frames': tf.fill([count], frames),
    'tokens': tf.constant(
      rng.integers(1, _VOCABULARY, [count, tokens]), tf.int32
    ),
    'token_lengths': tf.fill([count], tokens),
  }
