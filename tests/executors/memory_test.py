"""What is held in memory is there once, and goes when it is not needed."""

import gc

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.executors import context, graph_piece

VECTOR = tff.TensorType(np.float32, [1000])


@pytest.fixture(autouse=True)
def local_context():
  return context.set_local_device_context(['/CPU:0'], 1, allow_native=False)


@tff.tensorflow.computation(VECTOR)
def next_state(state):
  return state, state + 1.0


@tff.federated_computation(tff.FederatedType(VECTOR, tff.SERVER))
def placed(state):
  return state, tff.federated_map(next_state, state)


def test_states_are_not_copied_between_calls():
  _, state = next_state(np.zeros(1000, np.float32))
  for round_number in range(2, 5):
    before, state_after = next_state(state)
    assert np.shares_memory(before, state)
    assert not np.shares_memory(before, state_after)
    at_server, _ = placed(state)
    assert np.shares_memory(at_server, state)
    state = state_after
    np.testing.assert_array_equal(state, np.full(1000, round_number))


def test_results_may_not_be_written_to_as_in_tff():
  _, state = next_state(np.zeros(1000, np.float32))
  with pytest.raises(ValueError, match='read-only'):
    state[0] = 1.0


@tff.tensorflow.computation(tff.TensorType(np.float32, [None, None]))
def with_shape(x):
  return x + 1.0, tf.shape(x)


def test_an_array_that_the_caller_reshapes_keeps_its_new_shape():
  given, _ = with_shape(np.zeros([2, 6], np.float32))
  again, _ = with_shape(np.zeros([2, 6], np.float32))
  given.shape = (3, 4)
  result, shape = with_shape(given)
  np.testing.assert_array_equal(shape, [3, 4])
  np.testing.assert_array_equal(result, np.full([3, 4], 2.0))
  np.testing.assert_array_equal(with_shape(again)[1], [2, 6])
  with pytest.raises(TypeError, match='found the shape'):
    next_state(given)


def test_an_array_whose_numbers_the_caller_reads_otherwise_is_as_it_reads():
  given = with_shape(np.arange(12, dtype=np.float32).reshape(2, 6))[0]
  given.dtype = np.int32
  with pytest.raises(TypeError, match='found int32'):
    with_shape(given)
  given.dtype = np.float32
  given.strides = (4, 8)  # Every other column of the first row, and so on.
  np.testing.assert_array_equal(with_shape(given)[0], given + 1.0)


def test_arguments_of_the_caller_may_be_written_to():
  given = np.zeros(1000, np.float32)
  same, following = next_state(given)
  given += 5.0
  np.testing.assert_array_equal(same, np.zeros(1000))
  np.testing.assert_array_equal(following, np.ones(1000))
  np.testing.assert_array_equal(next_state(given)[0], np.full(1000, 5.0))


def test_results_outlive_what_made_them():
  @tff.tensorflow.computation
  def numbers():
    return tf.range(1000), tf.random.stateless_uniform([1000], [1, 2])

  first, second = numbers()
  expected = second.copy()
  del numbers
  gc.collect()
  for _ in range(20):  # Would take the memory, had it been freed.
    next_state(np.ones(1000, np.float32))
  np.testing.assert_array_equal(first, np.arange(1000))
  np.testing.assert_array_equal(second, expected)


@pytest.mark.parametrize('dtype', [tf.bfloat16, tf.string, tf.bool, tf.int64])
def test_every_type_comes_back(dtype):
  np_type = np.str_ if dtype == tf.string else dtype.as_numpy_dtype

  @tff.tensorflow.computation(tff.TensorType(np_type, [2]))
  def same(x):
    return tf.identity(x)

  if dtype == tf.string:
    given = np.array([b'a', b'bc'], object)
  else:
    given = np.array([0, 1]).astype(np_type)
  result = same(same(given))
  assert result.dtype == given.dtype
  np.testing.assert_array_equal(result, given)


def test_random_numbers_are_not_kept_as_constants():
  @tff.tensorflow.computation
  def weights():
    return (
      tf.random.stateless_normal([1000], [1, 2]),
      tf.random.stateless_uniform([1000], tf.constant([3, 4], tf.int64)),
    )

  for first, second in zip(weights(), weights(), strict=True):
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, second)


def initial_weights():
  return tf.random.stateless_normal([1000], [1, 2])


def overwritten(given):
  variable = tf.Variable(initial_weights())
  with tf.control_dependencies([variable.assign(given)]):
    return variable.assign_add(given)


def overwritten_before_a_function(given):
  variable = tf.Variable(initial_weights())
  with tf.control_dependencies([variable.assign(given)]):
    return tf.function(lambda: variable.assign_add(given) + given)()


def overwritten_in_a_function(given):
  variable = tf.Variable(initial_weights())

  @tf.function
  def assign_and_add(given):
    variable.assign(given)
    return variable.read_value() + given

  return assign_and_add(given)


def read_first_in_a_function(given):
  variable = tf.Variable(initial_weights())

  @tf.function
  def read_and_assign(given):
    before = variable.read_value()
    variable.assign(given)
    return before + variable.read_value()

  return read_and_assign(given)


def overwritten_at_times_in_a_function(given):
  variable = tf.Variable(initial_weights())

  @tf.function
  def assign_or_not(given):
    if given[0] > 0.0:
      variable.assign(given)
    return variable.read_value()

  return assign_or_not(given)


def read_first(given):
  variable = tf.Variable(initial_weights())
  before = variable.read_value()
  with tf.control_dependencies([before]):
    assigned = variable.assign(given)
  with tf.control_dependencies([assigned]):
    return before + variable.read_value()


def read_by_another(given):
  variable = tf.Variable(initial_weights())
  with tf.control_dependencies([variable.initializer]):
    other = tf.Variable(2.0 * variable.read_value())
  with tf.control_dependencies([variable.assign(given)]):
    return variable.read_value() + other


def added_to(given):
  variable = tf.Variable(initial_weights())
  return variable.assign_add(given)


def overwritten_in_a_branch(given):
  variable = tf.Variable(initial_weights())
  branch = tf.cond(
    given[0] > 0.0,
    lambda: variable.assign(given).read_value(),
    lambda: given,
  )
  with tf.control_dependencies([branch]):
    return variable.read_value()


@pytest.mark.parametrize(
  ['work', 'draws'],
  [
    (overwritten, False),
    (overwritten_before_a_function, False),
    (overwritten_in_a_function, False),
    (read_first_in_a_function, True),
    (overwritten_at_times_in_a_function, True),
    (read_first, True),
    (read_by_another, True),
    (added_to, True),
    (overwritten_in_a_branch, True),
  ],
)
def test_only_initial_values_that_are_read_are_computed(work, draws):
  given = np.linspace(-1.0, 1.0, 1000).astype(np.float32)
  weights = initial_weights().numpy()
  expected = {
    overwritten: 2.0 * given,
    read_first: weights + given,
    read_by_another: given + 2.0 * weights,
    added_to: weights + given,
    overwritten_in_a_branch: weights,
    overwritten_before_a_function: 3.0 * given,
    overwritten_in_a_function: 2.0 * given,
    read_first_in_a_function: weights + given,
    overwritten_at_times_in_a_function: weights,
  }
  computation = tff.tensorflow.computation(work, VECTOR)
  operations = {n.op for n in graph_piece.GraphPiece(computation).nodes()}
  assert any('Random' in name for name in operations) == draws
  for _ in range(2):
    np.testing.assert_allclose(computation(given), expected[work], rtol=1e-6)
