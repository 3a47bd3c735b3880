"""A random value at the server is one value, wherever it is used."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from tests.executors import algorithms
from tff_asr.executors import (
  context,
  decomposition,
  graph_piece,
  map_reduce,
  native,
)

VECTOR = tff.TensorType(np.float32, [8])
VECTORS = tff.FederatedType(VECTOR, tff.CLIENTS)
AT_SERVER = tff.FederatedType(VECTOR, tff.SERVER)
VALUES = [np.arange(8.0, dtype=np.float32) * n for n in (1.0, -2.0, 4.0)]


@pytest.fixture(autouse=True)
def local_context():
  return context.set_local_device_context(
    ['/CPU:0', '/CPU:1'], 2, allow_native=False
  )


@tff.tensorflow.computation
def signs():
  return tf.sign(tf.random.uniform([8], -1.0, 1.0))


@tff.tensorflow.computation
def number():
  return tf.random.uniform([])


@tff.tensorflow.computation
def time():
  return tf.timestamp()


@tff.tensorflow.computation
def shuffled():
  numbers = tf.data.Dataset.range(10**6).shuffle(10**4).take(1)
  return numbers.reduce(np.int64(0), lambda _, found: found)


IMAGE = tff.TensorType(np.float32, [1, 30, 30, 1])


@tff.tensorflow.computation(IMAGE)
def pooled(image):
  """TensorFlow does not say that this draws."""
  found = tf.nn.fractional_max_pool(image, [1.0, 1.41, 1.73, 1.0])
  return tf.reduce_sum(found.output)


@tff.tensorflow.computation(VECTOR, VECTOR)
def product(x, y):
  return x * y


def projected(values, projection):
  """The sum of projected values, of which the projection is undone."""
  at_clients = tff.federated_broadcast(projection)
  total = tff.federated_sum(tff.federated_map(product, (values, at_clients)))
  return tff.federated_map(product, (total, projection))


@tff.federated_computation(VECTORS)
def by_signs(values):
  projection = tff.federated_eval(signs, tff.SERVER)
  return projected(values, projection), projection


@tff.federated_computation(AT_SERVER, VECTORS)
def by_signs_of_a_state(state, values):
  drawn = tff.federated_eval(signs, tff.SERVER)
  projection = tff.federated_map(product, (state, drawn))
  return state, projected(values, projection), projection


def test_a_random_projection_is_undone():
  drawn = []
  for _ in range(4):
    total, projection = by_signs(VALUES)
    np.testing.assert_array_equal(total, sum(VALUES))
    drawn.append(tuple(projection))
  assert len(set(drawn)) > 1  # All equal: once in 2**24.


def test_what_follows_from_a_random_value_and_the_state_is_undone():
  state = np.full(8, -1.0, np.float32)
  for _ in range(3):
    same, total, projection = by_signs_of_a_state(state, VALUES)
    np.testing.assert_array_equal(same, state)
    np.testing.assert_array_equal(total, sum(VALUES))
    np.testing.assert_array_equal(np.abs(projection), np.ones(8))
  _, total, _ = by_signs_of_a_state(state, [])
  np.testing.assert_array_equal(total, np.zeros(8))


@pytest.mark.parametrize('draw', [number, time, shuffled])
def test_clients_have_the_value_that_the_server_returns(draw):
  @tff.federated_computation(VECTORS)
  def both(values):
    drawn = tff.federated_eval(draw, tff.SERVER)
    again = tff.federated_value(draw(), tff.SERVER)
    return (
      drawn,
      tff.federated_max(tff.federated_broadcast(drawn)),
      tff.federated_min(tff.federated_broadcast(drawn)),
      again,
      tff.federated_max(tff.federated_broadcast(again)),
      tff.federated_sum(values),
    )

  before = None
  for _ in range(2):
    at_server, greatest, least, again, at_clients, _ = both(VALUES)
    assert at_server == greatest == least
    assert again == at_clients
    assert at_server not in (again, before)
    before = at_server


def test_what_draws_without_saying_so_is_drawn_once():
  @tff.federated_computation(tff.FederatedType(IMAGE, tff.SERVER), VECTORS)
  def both(image, values):
    drawn = tff.federated_map(pooled, image)
    at_clients = tff.federated_broadcast(drawn)
    return (
      drawn,
      tff.federated_max(at_clients),
      tff.federated_min(at_clients),
      tff.federated_sum(values),
    )

  image = np.arange(900.0, dtype=np.float32).reshape([1, 30, 30, 1])
  found = set()
  for _ in range(6):
    drawn, greatest, least, _ = both(image, VALUES)
    assert drawn == greatest == least
    found.add(float(drawn))
  assert len(found) > 1


def test_a_value_drawn_at_no_place_is_refused_for_clients():
  @tff.federated_computation(VECTORS)
  def both(values):
    drawn = number()
    return (
      tff.federated_value(drawn, tff.SERVER),
      tff.federated_max(tff.federated_value(drawn, tff.CLIENTS)),
      tff.federated_sum(values),
    )

  with pytest.raises(graph_piece.UnsupportedError, match='at no place'):
    both(VALUES)


def test_clients_draw_for_themselves():
  @tff.federated_computation(VECTORS)
  def extremes(values):
    drawn = tff.federated_eval(number, tff.CLIENTS)
    return (
      tff.federated_max(drawn),
      tff.federated_min(drawn),
      tff.federated_sum(values),
    )

  greatest, least, _ = extremes(VALUES)
  assert greatest > least


def test_only_what_clients_need_is_drawn_first(monkeypatch):
  """Noise on a sum is drawn where it is added."""
  made = []
  monkeypatch.setattr(
    map_reduce.MapReduce,
    '__init__',
    lambda self, *args, **kwargs: made.append(args),
  )
  monkeypatch.setattr(
    map_reduce.MapReduce, 'run', lambda *_: [tf.zeros([8])], raising=False
  )

  @tff.tensorflow.computation(VECTOR, VECTOR)
  def add(x, y):
    return x + y

  @tff.federated_computation(VECTORS)
  def noisy(values):
    noise = tff.federated_eval(signs, tff.SERVER)
    return tff.federated_map(add, (tff.federated_sum(values), noise))

  noisy(VALUES)
  assert len(made) == 1


AGGREGATORS = {
  'gaussian': lambda: tff.aggregators.DifferentiallyPrivateFactory(
    tfp.GaussianSumQuery(1.0, 1.0)
  ),
  'adaptive': lambda: (
    tff.aggregators.DifferentiallyPrivateFactory.gaussian_adaptive(1.0, 100.0)
  ),
  'tree': lambda: tff.aggregators.DifferentiallyPrivateFactory.tree_aggregation(
    1.0, 3, 1.0, tf.TensorSpec([8])
  ),
  'hadamard': lambda: tff.aggregators.HadamardTransformFactory(
    tff.aggregators.SumFactory()
  ),
  'fourier': lambda: tff.aggregators.DiscreteFourierTransformFactory(
    tff.aggregators.SumFactory()
  ),
  'hadamard, secure': lambda: tff.aggregators.HadamardTransformFactory(
    tff.aggregators.SecureSumFactory(100.0, -100.0)
  ),
  'sampled': lambda: tff.aggregators.UnweightedReservoirSamplingFactory(2),
  'secure': lambda: tff.aggregators.SecureSumFactory(1.0, -1.0),
  'robust': lambda: tff.learning.robust_aggregator(weighted=False),
  'compressed': lambda: tff.learning.compression_aggregator(weighted=False),
}


@pytest.mark.parametrize('name', AGGREGATORS)
def test_no_aggregation_of_tff_broadcasts_what_it_draws(name):
  """Rotations have their seed in the state, and noise comes after the sum."""
  process = AGGREGATORS[name]().create(VECTOR)
  forms = decomposition.decompose(process.next)
  assert len(forms) == 1
  state = process.initialize()
  for _ in range(2):
    state = process.next(state, VALUES).state


@pytest.mark.parametrize('name', ['compressed', 'dp_adaptive', 'secure'])
def test_no_algorithm_of_tff_broadcasts_what_it_draws(name):
  process = algorithms.ALGORITHMS[name]()
  assert len(decomposition.decompose(process.next)) == 1


def test_tffs_own_runtime_agrees():
  worker = native.Worker(2)
  try:
    total, projection = native.create_context(worker).invoke(by_signs, VALUES)
  finally:
    worker.stop()
  np.testing.assert_array_equal(total, sum(VALUES))
  np.testing.assert_array_equal(np.abs(projection), np.ones(8))
