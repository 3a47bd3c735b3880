"""What users of TFF write besides learning processes."""

import asyncio
import collections
import gc
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.ops import data_flow_ops
import tensorflow_federated as tff

from tff_asr.executors import (
  context,
  decomposition,
  graph_piece,
  map_reduce,
  native,
)

INTS_AT_CLIENTS = tff.FederatedType(np.int32, tff.CLIENTS)
FLOATS_AT_CLIENTS = tff.FederatedType(np.float32, tff.CLIENTS)
FLOAT_AT_SERVER = tff.FederatedType(np.float32, tff.SERVER)


@pytest.fixture(params=[(1, 1), (2, 2)], ids=['one', 'two'], autouse=True)
def local_context(request):
  devices, clients_per_device = request.param
  yield context.set_local_device_context(
    [f'/CPU:{i}' for i in range(devices)],
    clients_per_device,
    allow_native=False,
  )


@tff.tensorflow.computation(np.int32)
def add_one(x):
  return x + 1


@tff.tensorflow.computation(np.float32, np.float32)
def product(x, y):
  return x * y


def test_a_local_computation():
  assert add_one(2) == 3


def test_a_computation_without_argument():
  @tff.federated_computation
  def zero():
    return tff.federated_value(0, tff.SERVER)

  assert zero() == 0


def test_the_server_alone_needs_a_single_graph():
  @tff.tensorflow.computation
  def draw():
    return tf.random.uniform([])

  @tff.federated_computation(FLOAT_AT_SERVER)
  def twice_drawn(x):
    drawn = tff.federated_eval(draw, tff.SERVER)
    return drawn, (tff.federated_map(product, (x, drawn)), x)

  @tff.federated_computation(INTS_AT_CLIENTS)
  def total(numbers):
    return tff.federated_sum(numbers)

  graph = decomposition.without_clients(twice_drawn)
  assert decomposition.is_tensorflow(graph)
  drawn, (doubled, x) = twice_drawn(2.0)
  assert doubled == 2.0 * drawn and x == 2.0
  assert twice_drawn(2.0)[0] != drawn
  assert decomposition.without_clients(total) is None


def test_sums_of_every_size_of_cohort_are_traced_once(monkeypatch):
  traced = []
  original = tf.compat.v1.wrap_function

  def counted(*args, **kwargs):
    traced.append(args)
    return original(*args, **kwargs)

  monkeypatch.setattr(tf.compat.v1, 'wrap_function', counted)

  @tff.federated_computation(INTS_AT_CLIENTS)
  def total(numbers):
    return tff.federated_sum(tff.federated_map(add_one, numbers))

  assert total([1, 2]) == 5
  functions = len(traced)
  assert functions
  for size in (3, 1, 0, 17, 2):
    assert total(list(range(size))) == sum(range(1, size + 1))
  assert len(traced) == functions


def test_several_arguments_and_results_in_structures():
  @tff.federated_computation(
    FLOATS_AT_CLIENTS, FLOAT_AT_SERVER, FLOATS_AT_CLIENTS
  )
  def scaled_mean(values, factor, weights):
    scaled = tff.federated_map(
      product, (values, tff.federated_broadcast(factor))
    )
    return collections.OrderedDict(
      mean=tff.federated_mean(scaled, weights),
      factor=factor,
      sums=[tff.federated_sum(weights), tff.federated_sum(values)],
    )

  found = scaled_mean([1.0, 2.0, 6.0], 10.0, [1.0, 1.0, 2.0])
  assert found == {'mean': 37.5, 'factor': 10.0, 'sums': [4.0, 9.0]}
  found = scaled_mean([2.0], 1.0, [3.0])
  assert found['mean'] == 2.0
  with pytest.raises(ValueError, match='different numbers of clients: 2, 1'):
    scaled_mean([1.0, 2.0], 10.0, [1.0])


def test_least_and_greatest():
  @tff.federated_computation(FLOATS_AT_CLIENTS)
  def extremes(values):
    return tff.federated_min(values), tff.federated_max(values)

  assert tuple(extremes([3.0, -1.0, 2.0])) == (-1.0, 3.0)


def test_text_and_sequences():
  @tff.tensorflow.computation(tff.SequenceType(np.str_))
  def count(names):
    return names.reduce(np.int32(0), lambda n, _: n + 1)

  @tff.federated_computation(
    tff.FederatedType(tff.SequenceType(np.str_), tff.CLIENTS)
  )
  def counts(names):
    return tff.federated_sum(tff.federated_map(count, names))

  assert counts([['a', 'b'], [], ['c']]) == 3
  datasets = [tf.data.Dataset.from_tensor_slices(['a'] * n) for n in (1, 2, 3)]
  assert counts(datasets) == 6


def test_a_local_computation_returns_a_dataset():
  @tff.tensorflow.computation(np.int64)
  def numbers(limit):
    return tf.data.Dataset.range(limit)

  assert list(numbers(3)) == [0, 1, 2]


def test_secure_sums():
  @tff.federated_computation(INTS_AT_CLIENTS)
  def sums(numbers):
    return (
      tff.federated_secure_sum(numbers, max_input=7),
      tff.federated_secure_sum_bitwidth(numbers, bitwidth=3),
      tff.backends.mapreduce.federated_secure_modular_sum(numbers, 5),
    )

  assert tuple(sums([1, 7, 3])) == (11, 11, 1)
  with pytest.raises(map_reduce.ExecutionError, match='for client number 1'):
    sums([1, 8])


def test_an_argument_of_another_type_is_refused():
  @tff.federated_computation(INTS_AT_CLIENTS)
  def total(numbers):
    return tff.federated_sum(numbers)

  with pytest.raises(TypeError):
    total([1.5])
  with pytest.raises(TypeError, match='list with a value for each client'):
    total(3)
  assert total([3]) == 3


def test_what_does_not_fit_is_refused_with_the_reason():
  @tff.federated_computation(INTS_AT_CLIENTS)
  def to_clients(numbers):
    return tff.federated_map(add_one, numbers)

  with pytest.raises(graph_piece.UnsupportedError, match='not at the server'):
    to_clients([1])

  @tff.federated_computation(FLOATS_AT_CLIENTS)
  def second_look(values):
    """Clients hear of the mean, and answer."""
    mean = tff.federated_broadcast(tff.federated_mean(values))
    return tff.federated_mean(tff.federated_map(product, (values, mean)))

  with pytest.raises(graph_piece.UnsupportedError, match='broadcast'):
    second_look([1.0])


@tff.federated_computation(tff.FunctionType(np.int32, np.int32), np.int32)
def twice(function, x):
  return function(function(x))


@tff.federated_computation(INTS_AT_CLIENTS)
def nothing(numbers):
  del numbers
  return ()


def test_what_has_no_form_is_refused():
  with pytest.raises(graph_piece.UnsupportedError, match='takes a function'):
    twice(add_one, 1)
  with pytest.raises(graph_piece.UnsupportedError):
    nothing([1])


def test_the_native_runtime_takes_what_does_not_fit(caplog):
  local = context.set_local_device_context(['/CPU:0'])

  @tff.federated_computation(INTS_AT_CLIENTS)
  def to_clients(numbers):
    return tff.federated_map(add_one, numbers)

  try:
    assert to_clients([1, 2]) == [2, 3]
    assert 'not at the server' in caplog.text
  finally:
    local.close()


def test_contexts_share_a_native_runtime_which_ends_with_the_last_of_them():
  @tff.federated_computation(INTS_AT_CLIENTS)
  def to_clients(numbers):
    return tff.federated_map(add_one, numbers)

  contexts = [context.LocalDeviceContext(['/CPU:0']) for _ in range(3)]
  for number, run_in in enumerate(contexts):
    assert run_in.invoke(to_clients, [number]) == [number + 1]
  worker = native.shared.get(contexts[0])
  assert all(native.shared.get(run_in) is worker for run_in in contexts)
  contexts.pop().close()
  contexts[0].close()
  contexts[0].close()
  assert worker.is_running
  del run_in
  contexts.pop()  # Forgotten, not closed.
  gc.collect()
  assert not worker.is_running
  run_in = contexts.pop()
  try:
    assert run_in.invoke(to_clients, [5]) == [6]
    native.shared.get(run_in).stop()  # As if it had been killed.
    assert run_in.invoke(to_clients, [7]) == [8]
  finally:
    run_in.close()


def test_a_native_runtime_that_ends_while_it_computes_is_an_error():
  """TFF would ask for it again and again."""

  @tff.tensorflow.computation(np.float32)
  def ends_the_process(x):
    kept = data_flow_ops.ConditionalAccumulator(tf.float32, shape=[])
    with tf.control_dependencies([kept.apply_grad(x, 0)]):
      return tf.cast(kept.num_accumulated(), tf.float32)

  run_in = context.LocalDeviceContext(['/CPU:0'])
  try:
    with pytest.raises((RuntimeError, grpc.RpcError)):
      for _ in range(3):
        run_in.invoke(ends_the_process, 1.0)
    assert run_in.invoke(add_one, 1) == 2
  finally:
    run_in.close()


def test_a_guarantee_forbids_the_native_runtime():
  """It would tell which client fails."""
  run_in = context.LocalDeviceContext(['/CPU:0'], max_failed_clients=None)

  @tff.federated_computation(FLOATS_AT_CLIENTS)
  def second_look(values):
    mean = tff.federated_broadcast(tff.federated_mean(values))
    return tff.federated_mean(tff.federated_map(product, (values, mean)))

  with pytest.raises(graph_piece.UnsupportedError, match='which client fails'):
    run_in.invoke(second_look, [1.0])


@pytest.mark.parametrize('clients', [0, 1, 5])
def test_computations_that_take_nothing_of_clients_have_the_default_number(
  clients,
):
  @tff.federated_computation
  def count():
    return tff.federated_sum(tff.federated_value(1, tff.CLIENTS))

  @tff.federated_computation(FLOAT_AT_SERVER)
  def total(value):
    return tff.federated_sum(tff.federated_broadcast(value))

  @tff.federated_computation(FLOATS_AT_CLIENTS)
  def given(values):
    return tff.federated_sum(tff.federated_value(1, tff.CLIENTS)), values

  @tff.federated_computation(FLOATS_AT_CLIENTS)
  def given_sum(values):
    return (
      tff.federated_sum(tff.federated_value(1, tff.CLIENTS)),
      tff.federated_sum(values),
    )

  run_in = context.set_local_device_context(
    ['/CPU:0', '/CPU:1'], 2, default_num_clients=clients
  )
  try:
    assert count() == clients
    assert total(2.5) == 2.5 * clients
    assert tuple(given_sum([1.0, 2.0])) == (2, 3.0)
    number, values = given([1.0, 2.0, 4.0])  # In TFF's own runtime.
    assert number == 3 and list(values) == [1.0, 2.0, 4.0]
  finally:
    run_in.close()
  with pytest.raises(ValueError, match='`default_num_clients=-1` must not be'):
    context.LocalDeviceContext(['/CPU:0'], default_num_clients=-1)


def test_the_asynchronous_form(local_context):
  program_context = tff.program.NativeFederatedContext(
    context.AsyncLocalDeviceContext(local_context)
  )
  tff.framework.set_default_context(program_context)

  @tff.federated_computation(INTS_AT_CLIENTS)
  def total(numbers):
    return tff.federated_sum(numbers), tff.federated_sum(numbers)

  async def program():
    first = total([1, 2])
    second = total([3])
    return await tff.program.materialize_value((first, second))

  first, second = asyncio.run(program())
  assert tuple(first) == (3, 3)
  assert tuple(second) == (3, 3)


@pytest.mark.parametrize(
  'factory',
  [
    tff.aggregators.SumFactory(),
    tff.aggregators.UnweightedMeanFactory(),
    tff.aggregators.SecureSumFactory(100.0, -100.0),
    tff.aggregators.clipping_factory(9.0, tff.aggregators.SumFactory()),
  ],
  ids=['sum', 'mean', 'secure', 'clipped'],
)
def test_a_state_without_leaves(factory):
  process = factory.create(tff.TensorType(np.float32))
  state = process.initialize()
  for values in ([1.0, 3.0], [2.0]):
    expected = sum(values)
    if 'Mean' in type(factory).__name__:
      expected /= len(values)
    output = process.next(state, values)
    assert output.result == pytest.approx(expected, abs=1e-5)
    state = output.state


def test_an_accumulator_that_grows():
  vector = tff.TensorType(np.int32, [None])

  @tff.tensorflow.computation
  def zero():
    return tf.zeros([0], tf.int32)

  @tff.tensorflow.computation(vector, np.int32)
  def accumulate(kept, number):
    return tf.cond(
      tf.size(kept) < 2, lambda: tf.concat([kept, [number]], 0), lambda: kept
    )

  @tff.tensorflow.computation(vector, vector)
  def merge(first, second):
    return tf.concat([first, second], 0)[:2]

  @tff.tensorflow.computation(vector)
  def report(kept):
    return tf.size(kept)

  @tff.federated_computation(INTS_AT_CLIENTS)
  def count(numbers):
    return tff.federated_aggregate(numbers, zero(), accumulate, merge, report)

  assert [count([7] * n) for n in (0, 1, 2, 5)] == [0, 1, 2, 2]


def test_clients_who_send_nothing():
  @tff.federated_computation(
    tff.FederatedType(np.int32, tff.SERVER), FLOATS_AT_CLIENTS
  )
  def server_alone(number, values):
    del values
    return number

  for cohort in ([1.0, 2.0, 3.0], []):
    assert server_alone(5, cohort) == 5


def test_a_number_out_of_the_range_of_its_type_is_refused():
  @tff.federated_computation(INTS_AT_CLIENTS)
  def total(numbers):
    return tff.federated_sum(numbers)

  for number in (2**31, 2**40):
    with pytest.raises(TypeError):
      total([number])
  assert total([np.int16(3), -(2**31)]) == 3 - 2**31

  @tff.federated_computation(FLOATS_AT_CLIENTS)
  def total_of_floats(values):
    return tff.federated_sum(values)

  with pytest.raises(TypeError):
    total_of_floats([1e300])
  assert total_of_floats([float('inf')]) == float('inf')


def test_a_device_that_is_not_there_is_refused():
  with pytest.raises(
    ValueError, match='No device /CPU:77: this machine has /CPU:0'
  ):
    context.LocalDeviceContext(['/CPU:77'])
  with pytest.raises(ValueError, match='`clients_per_device=0` must be at'):
    context.LocalDeviceContext(['/CPU:0'], clients_per_device=0)


def test_the_native_runtime_outlives_the_thread_that_needed_it_first():
  local = context.set_local_device_context(['/CPU:0'])

  @tff.federated_computation(INTS_AT_CLIENTS)
  def to_clients(numbers):
    return tff.federated_map(add_one, numbers)

  try:
    for _ in range(2):
      thread = threading.Thread(target=local.invoke, args=(to_clients, [1]))
      thread.start()
      thread.join()
      assert to_clients([1, 2]) == [2, 3]
    local.close()
    assert to_clients([3]) == [4]
  finally:
    local.close()
