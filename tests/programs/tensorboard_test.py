"""Events of rounds as TensorBoard reads them."""

import asyncio
import math

import numpy as np
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf

from tff_asr.programs import tensorboard


def test_every_figure_of_every_round_can_be_read(tmp_path):
  manager = tensorboard.TensorBoard(tmp_path)
  rounds = [
    {'wer': 0.5, 'norm/conv/kernel': 1e-9},
    {'norm/conv/kernel': math.nan, 'unprotected/clients': 3.0},
  ]
  for number, released in enumerate(rounds):
    asyncio.run(manager.release(released, number))
  events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
  found = [{}, {}]
  for name in events.Tags()['tensors']:
    for event in events.Tensors(name):
      found[event.step][name] = float(tf.make_ndarray(event.tensor_proto))
  assert [f.keys() for f in found] == [r.keys() for r in rounds]
  assert found[0]['wer'] == 0.5
  assert math.isclose(found[0]['norm/conv/kernel'], 1e-9, rel_tol=1e-6)
  assert math.isnan(found[1]['norm/conv/kernel'])
  assert found[1]['unprotected/clients'] == 3.0


def test_tensorflow_is_given_no_number_of_pythons(tmp_path, monkeypatch):
  """It would keep each of them until the process ends."""
  given = []
  scalar = tf.summary.scalar

  def noted(name, data, step):
    given.extend([data, step])
    return scalar(name, data, step=step)

  monkeypatch.setattr(tf.summary, 'scalar', noted)
  asyncio.run(tensorboard.TensorBoard(tmp_path).release({'a': 0.1, 'b': 2}, 3))
  assert len(given) == 4
  for value in given:
    assert isinstance(value, np.generic)
    assert not isinstance(value, float | int)
