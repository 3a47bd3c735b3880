import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests import stores
from tff_asr import errors
from tff_asr.learning import central, evaluation
from tff_asr.models import presets
from tff_asr.optimizers import schedules

MODEL = dataclasses.replace(
  presets.preset('tiny', 30), blocks=1, width=32, mlp_width=64
)
CENTRAL = central.CentralConfig(
  epochs=90,
  batch_seconds=1.5,
  learning_rate=3e-3,
  schedule=schedules.Schedule(schedules.COSINE, warmup_steps=20),
  max_tempo_change=0.0,
)


def test_an_epoch_has_every_utterance_of_the_named_clients_once(speech):
  epoch = central.batches(speech, ['a', 'c'], CENTRAL, MODEL.stride)
  for _ in range(2):
    found = collections.Counter(
      speech.vocabulary.decode(row[:n])
      for batch in epoch
      for row, n in zip(
        batch['tokens'].numpy(), batch['token_lengths'], strict=True
      )
    )
    expected = [t for c in 'ac' for _, t, _ in stores.records(speech, c)]
    assert found == collections.Counter(expected)


def test_training_learns_a_task_of_four_tones(speech):
  encoder, losses = trained(speech, CENTRAL)
  assert len(losses) == 90 and np.isfinite(losses).all()
  transcripts = evaluation.Evaluator(encoder, speech.vocabulary).transcribe(
    evaluation.batches(speech)
  )
  assert evaluation.error_rates(transcripts).wer < 0.4


def trained(speech, config):
  """Returns an encoder and its loss by epoch."""
  tf.keras.utils.set_random_seed(0)
  encoder = MODEL.build()
  losses = []
  central.train(
    encoder,
    central.batches(speech, speech.client_ids, config, MODEL.stride),
    config,
    lambda number, steps, loss: losses.append(loss),
  )
  return encoder, losses


@pytest.mark.parametrize('optimizer', central.OPTIMIZERS)
def test_training_repeats_bit_for_bit_with_a_seed(speech, optimizer):
  """Whatever is mixed, dropped and changed side by side."""
  config = dataclasses.replace(
    CENTRAL, epochs=3, optimizer=optimizer, max_tempo_change=0.2
  )
  model = dataclasses.replace(MODEL, dropout=0.1)

  def weights(seed):
    tf.keras.utils.set_random_seed(seed)
    encoder = model.build()
    batches = central.batches(speech, speech.client_ids, config, MODEL.stride)
    central.train(encoder, batches, config, lambda *_: None)
    return np.concatenate([w.ravel() for w in encoder.get_weights()])

  first = weights(1)
  np.testing.assert_array_equal(first, weights(1))
  assert not np.array_equal(first, weights(2))


def test_lars_lowers_the_loss_and_stops_after_its_steps(speech):
  config = dataclasses.replace(
    CENTRAL,
    optimizer=central.LARS,
    learning_rate=10.0,
    epochs=None,
    steps=70,
    schedule=schedules.Schedule(
      schedules.STEP, decay_start=50, decay_steps=10, decay_rate=0.5
    ),
  )
  done = []
  tf.keras.utils.set_random_seed(0)
  encoder = MODEL.build()
  central.train(
    encoder,
    central.batches(speech, speech.client_ids, config, MODEL.stride),
    config,
    lambda number, steps, loss: done.append((number, steps, loss)),
  )
  numbers, steps, losses = zip(*done, strict=True)
  assert numbers == tuple(range(1, len(done) + 1))
  assert steps[-1] == 70 and len(set(np.diff((0, *steps[:-1])))) == 1
  assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize('optimizer', central.OPTIMIZERS)
def test_a_rate_that_has_fallen_to_nothing_moves_nothing(speech, optimizer):
  config = dataclasses.replace(
    CENTRAL,
    optimizer=optimizer,
    epochs=1,
    schedule=schedules.Schedule(schedules.STEP, 0, 0, 10, 1e-30),
  )
  encoder, _ = trained(speech, config)
  tf.keras.utils.set_random_seed(0)
  for after, before in zip(
    encoder.trainable_variables,
    MODEL.build().trainable_variables,
    strict=True,
  ):
    np.testing.assert_allclose(after, before, atol=1e-30)


@pytest.mark.parametrize('length', [{}, dict(epochs=1, steps=1)])
def test_the_length_is_given_once(length):
  with pytest.raises(errors.UserError, match=r'CentralConfig\.steps'):
    central.CentralConfig(batch_seconds=1.0, learning_rate=1.0, **length)
