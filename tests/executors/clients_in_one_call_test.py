"""Clients that train in one call of TensorFlow, one after the other."""

import logging
import threading

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.executors import context, map_reduce, piece_function

AT_CLIENTS = tff.FederatedType(np.int64, tff.CLIENTS)
_PRIME = 1_000_003


def _checked(x):
  with tf.control_dependencies([tf.debugging.assert_non_negative(x)]):
    return tf.identity(x)


def _in_order(work=_checked):
  """Returns a computation whose result depends on the clients' order."""
  mapped = tff.tensorflow.computation(work, np.int64)
  step = tff.tensorflow.computation(
    lambda total, x: (31 * total + x) % _PRIME, (np.int64, np.int64)
  )
  add = tff.tensorflow.computation(lambda a, b: a + b, (np.int64, np.int64))
  same = tff.tensorflow.computation(lambda x: x, np.int64)

  @tff.federated_computation(AT_CLIENTS)
  def computation(values):
    zero = tff.tensorflow.computation(lambda: np.int64(7))()
    return tff.federated_aggregate(
      tff.federated_map(mapped, values), zero, step, add, same
    )

  return computation


def _expected(numbers):
  total = 7
  for number in numbers:
    total = (31 * total + number) % _PRIME
  return total


@pytest.fixture
def calls(monkeypatch):
  """Records the number of arguments' rows in every call of a function."""
  found, call = [], piece_function.PieceFunction.__call__

  def seen(self, arguments, variables=None):
    if len(arguments) > 1 and arguments[0].shape.rank == 1:
      found.append(len(arguments[0]))
    return call(self, arguments, variables)

  monkeypatch.setattr(piece_function.PieceFunction, '__call__', seen)
  return found


@pytest.mark.parametrize('clients', [0, 1, 2, 3, 16, 17, 100])
def test_one_slot_takes_all_clients_in_order(clients, calls):
  context.set_local_device_context(['/CPU:0'], 1, allow_native=False)
  numbers = list(range(clients))
  assert _in_order()(numbers) == _expected(numbers)
  assert sum(calls) == clients
  assert max(calls, default=0) <= 16


def test_many_clients_need_few_calls(calls):
  context.set_local_device_context(['/CPU:0'], 2, allow_native=False)
  _in_order()(list(range(1_000)))
  assert sum(calls) == 1_000
  assert len(calls) <= 100


def test_the_last_calls_have_one_client(calls):
  """The slots end at about the same time."""
  context.set_local_device_context(['/CPU:0', '/CPU:1'], 2, allow_native=False)
  _in_order()(list(range(64)))
  assert calls[-4:] == [1] * 4


@pytest.mark.parametrize('bad', [{0}, {5}, {39}, {3, 4, 20}, set(range(40))])
def test_only_the_failing_clients_are_left_out(bad, caplog):
  context.set_local_device_context(
    ['/CPU:0'], 1, allow_native=False, max_failed_clients=len(bad)
  )
  numbers = [-i - 1 if i in bad else i for i in range(40)]
  with caplog.at_level(logging.WARNING):
    found = _in_order()(numbers)
  assert found == _expected([n for n in numbers if n >= 0])
  for i in range(40):
    assert (f'client number {i}:' in caplog.text) == (i in bad)


def test_one_failure_too_many_names_a_client():
  context.set_local_device_context(
    ['/CPU:0'], 1, allow_native=False, max_failed_clients=1
  )
  numbers = [-1 if i in (7, 30) else i for i in range(40)]
  with pytest.raises(map_reduce.ExecutionError, match='client number 30:'):
    _in_order()(numbers)


def test_a_value_of_the_wrong_type_names_its_client():
  context.set_local_device_context(['/CPU:0'], 1, allow_native=False)
  with pytest.raises(TypeError, match='client number 11'):
    _in_order()([*range(11), 'text', *range(12)])


def test_variables_begin_anew_with_every_client_of_a_call():
  def count(x):
    seen = tf.Variable(np.int64(0))
    for _ in range(3):
      with tf.control_dependencies([seen.assign_add(x)]):
        x = tf.identity(x)
    with tf.control_dependencies([x]):
      return seen.read_value()

  context.set_local_device_context(['/CPU:0'], 1, allow_native=False)
  numbers = list(range(50))
  assert _in_order(count)(numbers) == _expected([3 * n for n in numbers])


def test_a_failed_call_leaves_no_trace_in_the_sum():
  """The sum before the call is whole, although clients of it were added."""
  lock, failures = threading.Lock(), []
  call = piece_function.PieceFunction.__call__

  def fails_after(self, arguments, variables=None):
    results = call(self, arguments, variables)
    with lock:
      is_many = len(arguments) > 1 and arguments[0].shape.rank == 1
      if is_many and len(arguments[0]) > 1:
        failures.append(len(arguments[0]))
        raise tf.errors.InternalError(None, None, 'after the last client')
    return results

  context.set_local_device_context(['/CPU:0'], 1, allow_native=False)
  numbers = list(range(40))
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(piece_function.PieceFunction, '__call__', fails_after)
    assert _in_order()(numbers) == _expected(numbers)
  assert failures


def test_clients_without_data_count_each():
  one = tff.tensorflow.computation(lambda _: np.int64(1), tff.StructType([]))

  @tff.federated_computation(tff.FederatedType(tff.StructType([]), tff.CLIENTS))
  def count(nothing):
    return tff.federated_sum(tff.federated_map(one, nothing))

  context.set_local_device_context(['/CPU:0'], 2, allow_native=False)
  assert count([()] * 40) == 40


def _sometimes_bad(x):
  """Fails for a negative number, and in half of the calls for 1."""
  fails = (x < 0) | (tf.equal(x, 1) & (tf.random.uniform([]) < 0.5))
  with tf.control_dependencies([tf.debugging.Assert(~fails, [x])]):
    return tf.identity(x)


@pytest.mark.parametrize(
  ('work', 'most'), [(_checked, 16), (_sometimes_bad, 1)]
)
def test_no_client_gets_a_second_chance_from_the_failure_of_another(
  work, most, calls
):
  """Under a guarantee a client's share in the sum depends on no other client.

  If a call fails, its clients train once more, each alone.  That must give what
  the call gave for them: so clients that draw anew train alone from the start.
  """
  context.set_local_device_context(
    ['/CPU:0'], 1, allow_native=False, max_failed_clients=None
  )
  _in_order(work)([0] * 64)
  assert max(calls) == most


def test_an_operation_may_name_a_device_that_is_missing():
  def work(x):
    with tf.device('/GPU:7'):
      return x + 1

  context.set_local_device_context(['/CPU:0'], 1, allow_native=False)
  assert _in_order(work)([1, 2]) == _expected([2, 3])
