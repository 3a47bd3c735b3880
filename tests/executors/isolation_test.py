"""Clients and rounds do not see what others have left."""

import collections
import gc
import resource

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tests.executors import aggregations, algorithms
from tff_asr import errors
from tff_asr.executors import context, map_reduce, placement

AT_CLIENTS = tff.FederatedType(np.float32, tff.CLIENTS)


@pytest.fixture(params=[(1, 1), (4, 2)], ids=['one', 'four'])
def local_context(request):
  devices, clients_per_device = request.param
  return context.set_local_device_context(
    [f'/CPU:{i}' for i in range(devices)],
    clients_per_device,
    allow_native=False,
  )


def by_client(work):
  """Returns what a TensorFlow function gives for each client, sorted."""
  computation = aggregations.by_client(work)
  return lambda values: np.sort(computation(values))


def test_variables_begin_anew_with_every_client(local_context):
  def count(x):
    calls = tf.Variable(10.0)
    with tf.control_dependencies([calls.assign_add(x)]):
      return calls.read_value()

  counts = by_client(count)
  for _ in range(3):
    np.testing.assert_array_equal(
      counts([float(i) for i in range(9)]), np.arange(10.0, 19.0)
    )


@pytest.mark.parametrize(
  'draw',
  [
    lambda: tf.random.uniform([]),
    lambda: tf.random.uniform([], seed=1),
    tf.function(lambda: tf.random.uniform([], seed=1)),
    lambda: tf.random.Generator.from_non_deterministic_state().uniform([]),
    lambda: (
      tf.data.Dataset.range(10**6)
      .shuffle(10**4)
      .take(1)
      .reduce(np.int64(0), lambda _, found: found)
    ),
  ],
  ids=['stateful', 'seeded', 'in function', 'generator', 'shuffled'],
)
def test_random_numbers_differ_between_clients_and_rounds(local_context, draw):
  drawn = by_client(lambda x: x + tf.cast(draw(), tf.float32))
  found = [n for _ in range(3) for n in drawn([0.0] * 8)]
  # Two of 24 are equal by chance: 276 pairs in 1e4 or more, 3 %; six, never.
  assert len(set(found)) > 18


@pytest.mark.parametrize(
  ['devices', 'clients_per_device'], [(1, 1), (1, 4), (4, 2)]
)
@pytest.mark.parametrize(
  'draw',
  [
    lambda: tf.random.uniform([], seed=1),
    tf.function(lambda: tf.random.uniform([], seed=1)),
    lambda: tf.random.uniform_candidate_sampler(
      tf.zeros([1, 1], tf.int64), 1, 1, False, range_max=10**9, seed=1
    )[0][0],
  ],
  ids=['seeded', 'in function', 'sampler'],
)
def test_a_seed_begins_one_stream_for_all_clients(
  draw, devices, clients_per_device
):
  """Two of 128 are equal by chance: 8,128 pairs in 2**23, 0.1 %."""
  context.set_local_device_context(
    [f'/CPU:{i}' for i in range(devices)],
    clients_per_device,
    allow_native=False,
  )
  work = by_client(lambda x: x + tf.cast(draw(), tf.float32))
  found = [n for _ in range(4) for n in work([0.0] * 32)]
  assert len(found) - len(set(found)) <= 2


def of_clients(dataset_work):
  work = tff.tensorflow.computation(
    dataset_work, tff.SequenceType(tff.TensorType(np.int64))
  )
  aggregate = aggregations.concatenated()

  @tff.federated_computation(
    tff.FederatedType(work.type_signature.parameter, tff.CLIENTS)
  )
  def computation(datasets):
    return aggregate(tff.federated_map(work, datasets))

  return computation


def numbers():
  return tf.data.Dataset.range(1000)


def drawn(_):
  return tf.random.uniform([], 0, 10**6, tf.int64)


def first(elements):
  found = elements.take(1).reduce(np.int64(0), lambda _, element: element)
  return tf.cast(found, tf.float32)


def total_of(elements):
  found = elements.reduce(np.int64(0), lambda total, element: total + element)
  return tf.cast(found, tf.float32)


@pytest.mark.parametrize(
  'make',
  [
    lambda: numbers().shuffle(1000, seed=1),
    lambda: numbers().shuffle(1000, seed=1).map(lambda n: n + 1).batch(2),
    lambda: numbers().shuffle(1000, seed=1, reshuffle_each_iteration=False),
    lambda: tf.data.Dataset.random(seed=1, rerandomize_each_iteration=True).map(
      lambda n: n % 1000
    ),
    lambda: (lambda inner: tf.data.Dataset.range(2).flat_map(lambda _: inner))(
      numbers().shuffle(1000, seed=1)
    ),
    lambda: tf.data.experimental.from_variant(
      tf.data.experimental.to_variant(numbers().shuffle(1000, seed=1)),
      tf.TensorSpec([], tf.int64),
    ),
    lambda: numbers().map(
      lambda _: tf.random.uniform([], 0, 10**6, tf.int64, seed=1)
    ),
  ],
  ids=['shuffled', 'then', 'once', 'random', 'inner', 'variant', 'mapped'],
)
def test_a_dataset_with_a_seed_begins_at_the_same_place_in_every_use(
  make, local_context
):
  """As in TFF, where a dataset is a value; also twice in one round."""
  made = make()
  if made.element_spec.shape.rank:
    made = made.unbatch()
  work = of_clients(first)
  found = {float(n) for _ in range(3) for n in work([made] * 3)}
  assert len(found) == 1


def test_a_dataset_with_a_seed_draws_the_same_for_every_client(local_context):
  """Also one that the clients make themselves, wherever they run."""

  @by_client
  def work(x):
    drawn = tf.data.Dataset.range(3).map(
      lambda _: tf.random.uniform([], 0, 10**6, tf.int32, seed=3)
    )
    return x + tf.cast(drawn.reduce(0, lambda a, b: a + b), tf.float32)

  found = {float(n) for _ in range(4) for n in work([0.0] * 8)}
  assert len(found) == 1


@pytest.mark.parametrize(
  ['make', 'work'],
  [
    (lambda: numbers().shuffle(1000), first),
    (lambda: numbers().shuffle(1000, reshuffle_each_iteration=False), first),
    (lambda: numbers().take(3).map(drawn).cache(), total_of),
  ],
  ids=['shuffled', 'once', 'cached'],
)
def test_a_dataset_without_a_seed_is_drawn_anew_in_every_use(
  make, work, local_context
):
  tf.random.set_seed(None)
  made = make()
  work = of_clients(work)
  found = {float(n) for _ in range(3) for n in work([made] * 3)}
  assert len(found) > 4


def test_reductions_of_a_dataset_are_in_order(local_context):
  """The first of two has the first shuffle, though they do not need it."""

  def work(x):
    shuffled = tf.data.Dataset.range(1000).shuffle(1000, seed=1)
    one = first(shuffled)
    with tf.control_dependencies([one]):
      other = first(shuffled)
    return x + one + 1000.0 * other

  found = {float(n) for _ in range(4) for n in by_client(work)([0.0] * 4)}
  assert len(found) == 1


def test_a_failure_is_what_callers_of_tff_catch(local_context):
  total = sum_of_positive()
  with pytest.raises(grpc.RpcError, match='number 1') as caught:
    total([1.0, -2.0])
  assert isinstance(caught.value, RuntimeError)
  assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
  assert 'number 1' in caught.value.details()
  assert not isinstance(caught.value, tff.framework.RetryableError)


def sum_of_positive():
  """A sum in which clients fail whose value is not positive."""

  @tff.tensorflow.computation(np.float32)
  def checked(x):
    with tf.control_dependencies([tf.debugging.assert_positive(x)]):
      return tf.identity(x)

  @tff.federated_computation(AT_CLIENTS)
  def total(values):
    return tff.federated_sum(tff.federated_map(checked, values))

  return total


def test_an_error_names_the_stage_and_the_client(local_context):
  total = sum_of_positive()
  for _ in range(2):
    with pytest.raises(
      map_reduce.ExecutionError, match=r"'work' .* for client number 3: "
    ):
      total([1.0, 2.0, 3.0, -4.0, 5.0])
    assert total([1.0, 2.0]) == 3.0


@pytest.mark.parametrize(['devices', 'clients_per_device'], [(1, 1), (4, 2)])
def test_clients_that_fail_are_left_out_up_to_a_number(
  devices, clients_per_device, caplog
):
  context.set_local_device_context(
    [f'/CPU:{i}' for i in range(devices)],
    clients_per_device,
    allow_native=False,
    max_failed_clients=2,
  )

  total = sum_of_positive()
  for _ in range(2):  # The number is of each round.
    assert total([1.0, -2.0, 3.0, -4.0, 5.0]) == 9.0
    assert total([-1.0, -2.0]) == 0.0
  assert 'left out of the round' in caplog.text
  assert 'client number 3: ' in caplog.text
  with pytest.raises(map_reduce.ExecutionError, match="'work' of"):
    total([-1.0, -2.0, -3.0, 4.0])
  assert total([1.0, 2.0]) == 3.0


def test_any_number_of_clients_may_fail_and_nothing_tells_of_it(caplog, capfd):
  """As if there were no such clients."""
  local = context.set_local_device_context(
    allow_native=False, max_failed_clients=None
  )
  total = sum_of_positive()
  capfd.readouterr()
  assert total([1.0, -2.0, 3.0, -4.0, 5.0]) == 9.0
  assert total([-1.0] * 9) == 0.0
  assert total([1.0, 'a text', 2.0]) == 3.0
  assert not caplog.text and capfd.readouterr() == ('', '')
  local.max_failed_clients = 0
  with pytest.raises(map_reduce.ExecutionError, match='number 0'):
    total([-1.0])


def test_nothing_is_reported_where_a_client_may_fail_silently():
  """A report would tell that the first client did not fail."""
  found = []
  local = context.set_local_device_context(
    allow_native=False,
    max_failed_clients=None,
    watch=placement.Watch(['Sqrt'], found.append),
  )

  @tff.tensorflow.computation(np.float32)
  def root(x):
    return tf.sqrt(x)

  @tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
  def total(xs):
    return tff.federated_sum(tff.federated_map(root, xs))

  assert total([4.0, 9.0]) == 5.0 and not found
  local.max_failed_clients = 0  # Too late: the first round decides.
  assert total([4.0, 9.0]) == 5.0 and not found


@pytest.mark.parametrize('level', ['0', '2', '', 'none', None])
def test_clients_cannot_fail_silently_while_tensorflow_logs(monkeypatch, level):
  if level is None:
    monkeypatch.delenv('TF_CPP_MIN_LOG_LEVEL')
  else:
    monkeypatch.setenv('TF_CPP_MIN_LOG_LEVEL', level)
  with pytest.raises(errors.UserError, match='TF_CPP_MIN_LOG_LEVEL=3'):
    context.set_local_device_context(max_failed_clients=None)


def test_a_client_that_has_a_name_is_called_by_it(local_context):
  @tff.tensorflow.computation(np.str_)
  def number(name):
    return tf.strings.to_number(name)

  @tff.federated_computation(tff.FederatedType(np.str_, tff.CLIENTS))
  def total(names):
    return tff.federated_sum(tff.federated_map(number, names))

  assert total(['1', '2']) == 3.0
  with pytest.raises(map_reduce.ExecutionError, match=r"number 1 \('Ann'\)"):
    total(['1', 'Ann'])


def test_an_error_at_the_server_names_the_stage(local_context):
  @tff.tensorflow.computation(np.float32)
  def checked(x):
    with tf.control_dependencies([tf.debugging.assert_less(x, 5.0)]):
      return tf.identity(x)

  @tff.federated_computation(AT_CLIENTS)
  def total(values):
    return tff.federated_map(checked, tff.federated_sum(values))

  with pytest.raises(
    map_reduce.ExecutionError, match="'update' of a federated"
  ):
    total([3.0, 4.0])
  assert total([3.0]) == 3.0


def test_the_largest_clients_are_taken_first():
  context.set_local_device_context(
    ['/CPU:0'], 1, client_size=lambda value: value, allow_native=False
  )
  aggregate = aggregations.concatenated()

  @tff.federated_computation(AT_CLIENTS)
  def in_order(values):
    return aggregate(values)

  np.testing.assert_array_equal(in_order([2.0, 9.0, 5.0]), [9.0, 5.0, 2.0])


def test_where_an_operation_runs_is_reported_once():
  found = []
  context.set_local_device_context(
    ['/CPU:1'],
    1,
    allow_native=False,
    watch=placement.Watch(['Cumsum', 'Cumprod'], found.append),
  )
  run = by_client(lambda x: tf.cumsum(tf.stack([x, x]))[1])
  np.testing.assert_array_equal(run([1.0, 2.0]), [2.0, 4.0])
  run([1.0])
  assert found == [[('Cumsum', '/CPU:1')]]


def test_where_an_operation_runs_is_reported_if_the_first_client_fails():
  found = []
  context.set_local_device_context(
    ['/CPU:1'],
    1,
    allow_native=False,
    max_failed_clients=1,
    watch=placement.Watch(['Cumsum'], found.append),
  )

  @tff.tensorflow.computation(np.float32)
  def work(x):
    with tf.control_dependencies([tf.debugging.assert_positive(x)]):
      return tf.cumsum(tf.stack([x, x]))[1]

  @tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
  def total(xs):
    return tff.federated_sum(tff.federated_map(work, xs))

  assert total([-1.0, 3.0]) == 6.0
  assert found == [[('Cumsum', '/CPU:1')]]


def test_memory_does_not_grow_over_500_rounds():
  context.set_local_device_context(['/CPU:0', '/CPU:1'], 2, allow_native=False)
  process = algorithms.ALGORITHMS['weighted_fed_avg']()
  clients = [algorithms.dataset(i, 5) for i in range(3)]
  state = process.initialize()

  def peak_after(rounds):
    nonlocal state
    for number in range(rounds):
      state = process.next(state, clients[: number % 4]).state
    gc.collect()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

  before = peak_after(100)
  # A leak of one variable of 1 kB for each client would be 0.75 MB.
  assert peak_after(500) - before < 20_000  # kB


def test_a_context_forgets_computations_that_are_gone():
  local = context.set_local_device_context(['/CPU:0'], allow_native=False)
  for _ in range(3):

    @tff.federated_computation(AT_CLIENTS)
    def total(values):
      return tff.federated_sum(values)

    assert total([1.0, 2.0]) == 3.0
  del total
  gc.collect()
  assert not local._executables


def test_metrics_of_a_round_are_of_that_round_alone(local_context):
  process = algorithms.ALGORITHMS['fed_eval']()
  state = process.initialize()
  clients = [algorithms.dataset(i, 4) for i in range(4)]
  found = [
    process.next(state, clients).metrics['client_work']['eval'][
      'current_round_metrics'
    ]
    for _ in range(3)
  ]
  assert isinstance(found[0], collections.OrderedDict)
  for metrics in found[1:]:
    np.testing.assert_allclose(metrics['loss'], found[0]['loss'], rtol=1e-5)
