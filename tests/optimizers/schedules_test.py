from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import errors
from tff_asr.optimizers import lamb, schedules


def shares(schedule, last, steps=None):
  return np.array([schedule.share(step, steps) for step in range(last)])


DECAYING = st.builds(
  schedules.Schedule,
  st.sampled_from(schedules.DECAYING),
  st.integers(0, 5),
  st.integers(0, 20),
  st.integers(1, 10),
  st.floats(0.3, 1.0),
)


@settings(max_examples=15, deadline=None)
@given(DECAYING)
def test_a_rate_rises_to_its_greatest_stays_there_and_falls(schedule):
  found = shares(schedule, schedule.decay_start + 10)
  rise = min(schedule.warmup_steps, schedule.decay_start)
  assert (np.diff(found[:rise]) > 0).all()
  assert (found[max(rise, 1) : schedule.decay_start] == 1).all()
  assert (found > 0).all() and (found <= 1).all()


@settings(max_examples=15, deadline=None)
@given(DECAYING, st.integers(10, 10**6))
def test_every_so_many_steps_it_falls_by_its_factor(schedule, step):
  step += schedule.decay_start
  before, after = (
    float(schedule.share(s)) for s in (step, step + schedule.decay_steps)
  )
  expected = before * schedule.decay_rate
  assert after == pytest.approx(expected, rel=1e-3, abs=1e-30)


def test_jumps_are_at_the_start_and_from_there_on():
  schedule = schedules.Schedule(schedules.STEP, 0, 4, 3, 0.5)
  np.testing.assert_allclose(
    shares(schedule, 9), [1] * 4 + [0.5] * 3 + [0.25] * 2
  )


def test_a_cosine_ends_at_zero():
  schedule = schedules.Schedule(schedules.COSINE, warmup_steps=10)
  found = shares(schedule, 101, steps=100)
  assert found[50] == pytest.approx(0.5) and found[100] == pytest.approx(0)
  assert (np.diff(found[10:]) < 0).all() and found[0] == pytest.approx(0.1)


def test_lamb_takes_the_scheduled_steps_from_any_state_that_was_kept():
  schedule = schedules.Schedule(schedules.EXPONENTIAL, 0, 2, 2, 0.25)
  optimizer = tff.learning.optimizers.schedule_learning_rate(
    lamb.build_lamb(0.1), lambda done: 0.1 * schedule.share(done + 1)
  )
  weights = np.ones([4], np.float32)
  state = optimizer.initialize(tf.TensorSpec([4]))
  for number in range(1, 7):
    state = tf.nest.map_structure(np.asarray, state)  # As in a checkpoint.
    state, after = optimizer.next(state, weights, np.ones([4], np.float32))
    step = np.linalg.norm(after - weights) / np.linalg.norm(weights)
    assert step == pytest.approx(0.1 * float(schedule.share(number)), rel=1e-3)
    weights = after.numpy()


@pytest.mark.parametrize(
  'bad',
  [
    dict(name='linear'),
    dict(warmup_steps=-1),
    dict(decay_start=-1),
    dict(decay_steps=0),
    dict(decay_rate=0.0),
    dict(decay_rate=1.1),
    dict(decay_rate=float('nan')),
  ],
)
def test_numbers_out_of_range_are_refused(bad):
  with pytest.raises(errors.UserError):
    schedules.Schedule(**bad)
