import collections
import dataclasses

import numpy as np
import tensorflow as tf

from tests import stores
from tff_asr.learning import central, evaluation
from tff_asr.models import presets, transformer

MODEL = dataclasses.replace(presets.preset('tiny', 30), width=32, mlp_width=64)
CENTRAL = central.CentralConfig(
  epochs=90,
  batch_seconds=1.5,
  learning_rate=3e-3,
  warmup_steps=20,
  max_tempo_change=0.0,
)


def test_an_epoch_has_every_utterance_of_the_named_clients_once(speech):
  epoch = central.batches(speech, ['a', 'c'], CENTRAL)
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
  tf.keras.utils.set_random_seed(0)
  encoder = transformer.build(MODEL)
  losses = []
  central.train(
    encoder,
    central.batches(speech, speech.client_ids, CENTRAL),
    CENTRAL,
    lambda number, loss: losses.append(loss),
  )
  assert len(losses) == 90 and np.isfinite(losses).all()
  transcripts = evaluation.Evaluator(encoder, speech.vocabulary).transcribe(
    speech
  )
  assert evaluation.error_rates(transcripts).wer < 0.4
