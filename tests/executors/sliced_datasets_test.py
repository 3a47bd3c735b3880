"""Loops over slices give the results of TensorFlow's own reductions."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.executors import context, graph_piece, map_reduce


def _sliced(n):
  return tf.data.Dataset.from_tensor_slices(tf.range(n) * 3)


def _ranges(n):
  return tf.data.Dataset.range(10, 10 - 2 * tf.cast(n, tf.int64), -2)


def _ranges_without_numbers(n):
  return tf.data.Dataset.range(5, tf.cast(n, tf.int64) - 5)


def _ranges_without_numbers_down(n):
  return tf.data.Dataset.range(-1, tf.cast(n, tf.int64), -1)


def _mapped(n):
  return _sliced(n).map(lambda x: x + n).map(lambda x: tf.cast(x, tf.int64))


def _with_options(n):
  options = tf.data.Options()
  options.autotune.enabled = False
  return _mapped(n).with_options(options).map(lambda x: 2 * x)


def _structured(n):
  pairs = tf.data.Dataset.from_tensor_slices(
    {'a': tf.range(n), 'b': tf.ones([n, 2])}
  )
  return pairs.map(
    lambda e: tf.cast(e['a'], tf.float32) * tf.reduce_sum(e['b'])
  )


def _through_a_function(n):
  return _sliced(n).map(tf.function(lambda x: tf.where(x > n, x, -x)))


def _texts(n):
  texts = tf.strings.as_string(tf.range(n))
  return tf.data.Dataset.from_tensor_slices(texts).map(tf.strings.to_number)


def _shuffled(n):
  return _sliced(n).shuffle(5)


def _drawn(n):
  return _sliced(n).map(
    lambda x: tf.cast(x, tf.float32) * 0.0 + tf.random.uniform([], seed=1)
  )


def _in_parallel(n):
  return _sliced(n).map(lambda x: x + 1, num_parallel_calls=2)


def _batched(n):
  return _sliced(n).batch(2).map(tf.reduce_sum)


SLICED = [
  *(_sliced, _ranges, _mapped, _with_options),
  *(_ranges_without_numbers, _ranges_without_numbers_down),
  *(_structured, _through_a_function, _texts),
]
OTHERS = [_shuffled, _drawn, _in_parallel, _batched]


def total(dataset):
  """Returns the sum of the elements, each weighted by its place."""
  return dataset.reduce(
    (0.0, 1.0),
    lambda state, x: (
      state[0] + state[1] * tf.cast(x, tf.float32),
      state[1] + 1.0,
    ),
  )[0]


def inside_a_function(dataset):
  return tf.function(total)(dataset)


def _iterators(computation) -> list[str]:
  nodes = graph_piece.GraphPiece(computation).nodes()
  return [node.op for node in nodes if 'Iterator' in node.op]


@pytest.mark.parametrize('reduce', [total, inside_a_function])
@pytest.mark.parametrize('make', SLICED + OTHERS)
def test_a_reduction_has_an_iterator_only_if_it_needs_one(make, reduce):
  computation = tff.tensorflow.computation(lambda n: reduce(make(n)), np.int32)
  assert bool(_iterators(computation)) == (make in OTHERS)


@pytest.mark.parametrize('reduce', [total, inside_a_function])
@pytest.mark.parametrize('make', [m for m in SLICED + OTHERS if m != _drawn])
def test_clients_get_the_results_of_eager_tensorflow(make, reduce):
  work = tff.tensorflow.computation(lambda n: reduce(make(n)), np.int32)

  @tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
  def summed(numbers):
    return tff.federated_sum(tff.federated_map(work, numbers))

  context.set_local_device_context(['/CPU:0'], 1, allow_native=False)
  for numbers in ([0], [1], [4, 0, 7, 1]):
    if make is _shuffled:
      numbers = [min(n, 1) for n in numbers]  # Has one order.
    expected = sum(float(total(make(tf.constant(n)))) for n in numbers)
    np.testing.assert_allclose(summed(numbers), expected, rtol=1e-6)


def test_a_dataset_may_be_reduced_twice_and_used_otherwise():
  def work(n):
    dataset = _mapped(n)
    twice = total(dataset) + total(dataset.map(lambda x: x + 1))
    first = dataset.take(1).reduce(np.int64(0), lambda _, x: x)
    return twice + tf.cast(first, tf.float32)

  computation = tff.tensorflow.computation(work, np.int32)
  context.set_local_device_context(['/CPU:0'], 1, allow_native=False)
  expected = sum((i + 1) * (3 * i + 4) for i in range(4))
  expected += sum((i + 1) * (3 * i + 5) for i in range(4)) + 4
  assert computation(4) == expected


def _after(check, make):
  with tf.control_dependencies([check]):
    return make()


def _unequal(n):
  return tf.data.Dataset.from_tensor_slices((tf.range(n), tf.range(n + 2)))


def _refused_slices(n):
  values = tf.range(n)
  return _after(
    tf.debugging.assert_less(n, 0),
    lambda: tf.data.Dataset.from_tensor_slices((values, values)),
  )


def _refused_map(n):
  dataset = _structured(n).map(lambda x: (x, x))
  return _after(
    tf.debugging.assert_less(n, 0), lambda: dataset.map(lambda x, y: (y, x))
  )


@pytest.mark.parametrize('make', [_unequal, _refused_slices, _refused_map])
def test_a_dataset_that_tensorflow_refuses_is_refused(make):
  work = tff.tensorflow.computation(
    lambda n: make(n).reduce(np.int64(0), lambda s, x: s + 1), np.int32
  )
  assert not _iterators(work)

  @tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
  def summed(numbers):
    return tff.federated_sum(tff.federated_map(work, numbers))

  context.set_local_device_context(['/CPU:0'], 1, allow_native=False)
  with pytest.raises(map_reduce.ExecutionError, match='client number 0'):
    summed([3])


def test_draws_of_a_dataset_begin_anew_with_every_client():
  work = tff.tensorflow.computation(lambda n: total(_drawn(n)), np.int32)

  @tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
  def mean(numbers):
    return tff.federated_mean(tff.federated_map(work, numbers))

  context.set_local_device_context(['/CPU:0'], 1, allow_native=False)
  assert mean([3]) == mean([3]) == pytest.approx(mean([3] * 7), rel=1e-6)
