"""No operation keeps for one call what another has left."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.ops import critical_section_ops, data_flow_ops
import tensorflow_federated as tff

from tests.executors import aggregations
from tff_asr.executors import context, graph_piece, native


def float_of(tensor):
  return tf.reshape(tf.cast(tensor, tf.float32), [])


def after(operation, result):
  with tf.control_dependencies([operation]):
    return float_of(result())


def static_table(x):
  table = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer(
      tf.constant([1, 2], tf.int64), tf.stack([x, 2.0 * x])
    ),
    -1.0,
  )
  return float_of(table.lookup(tf.constant(2, tf.int64)))


def tables_of_other_sizes(x):
  keys = tf.range(tf.cast(x, tf.int64))
  table = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer(keys, keys), -1
  )
  return float_of(table.size())


def table_in_a_dataset(x):
  table = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer(
      tf.constant([1, 2], tf.int64), tf.stack([x, 2.0 * x])
    ),
    0.0,
  )
  found = tf.data.Dataset.range(4).map(table.lookup)
  return float_of(found.reduce(0.0, lambda a, b: a + b))


def table_in_a_function(x):
  table = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer(
      tf.constant([1], tf.int64), tf.reshape(x, [1])
    ),
    0.0,
  )
  return float_of(tf.function(lambda: table.lookup(tf.ones([], tf.int64)))())


def mutable_table(x):
  table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)
  insert = table.insert(tf.cast(x, tf.int64), x)
  return after(insert, lambda: tf.reduce_sum(table.export()[1]))


def mutable_table_of_vectors(x):
  table = tf.lookup.experimental.MutableHashTable(
    tf.int64, tf.float32, tf.zeros([2])
  )
  insert = table.insert(tf.cast(x, tf.int64), tf.stack([x, x]))
  return after(insert, table.size)


def dense_table(x):
  table = tf.lookup.experimental.DenseHashTable(
    tf.int64, tf.float32, 0.0, empty_key=-1, deleted_key=-2
  )
  return after(table.insert(tf.cast(x, tf.int64), x), table.size)


def iterator(x):
  values = tf.data.Dataset.from_tensors(x).repeat(2)
  found = tf.compat.v1.data.make_initializable_iterator(values)
  return after(found.initializer, found.get_next)


def iterator_in_a_function(x):
  @tf.function
  def second():
    elements = iter(tf.data.Dataset.from_tensor_slices(tf.stack([x, 2.0 * x])))
    next(elements)
    return next(elements)

  return float_of(second())


def cache(x):
  values = tf.data.Dataset.from_tensors(x).cache().repeat(3)
  return float_of(values.reduce(0.0, lambda a, b: a + b))


def variable(x):
  count = tf.Variable(10.0)
  return after(count.assign_add(x), count.read_value)


def tensor_array(x):
  array = tf.TensorArray(tf.float32, 2)
  return float_of(array.write(0, x).write(1, 2.0 * x).stack()[1])


def stack(x):
  handle = tf.raw_ops.StackV2(max_size=-1, elem_type=tf.float32)
  push = tf.raw_ops.StackPushV2(handle=handle, elem=x)
  return after(
    push, lambda: tf.raw_ops.StackPopV2(handle=handle, elem_type=tf.float32)
  )


def generator(x):
  return x + tf.random.Generator.from_seed(1).uniform([])


def seeded_dataset(x):
  values = tf.data.Dataset.range(1000).shuffle(1000, seed=1).take(1)
  return x + float_of(values.reduce(np.int64(0), lambda _, found: found))


def random_dataset(x):
  values = tf.data.Dataset.random(seed=1).take(1)
  return x + float_of(values.reduce(np.int64(0), lambda _, n: n % 1000))


def lock(x):
  return critical_section_ops.CriticalSection().execute(lambda: 2.0 * x)


ISOLATED = [
  *(static_table, tables_of_other_sizes, table_in_a_dataset),
  *(table_in_a_function, mutable_table, mutable_table_of_vectors, dense_table),
  *(cache, iterator_in_a_function, variable, tensor_array, stack, generator),
  *(seeded_dataset, random_dataset, lock),
]


@pytest.fixture(scope='module')
def native_context():
  worker = native.Worker(2)
  yield native.create_context(worker)
  worker.stop()


ROUNDS = ([1.0, 2.0, 5.0], [3.0], [], [2.0, 7.0, 1.0, 4.0, 6.0])


def rounds(run_in, work):
  """Returns what each client of some rounds gets, sorted."""
  return [np.sort(run_in.invoke(work, cohort)) for cohort in ROUNDS]


@pytest.mark.parametrize('make', ISOLATED, ids=lambda make: make.__name__)
def test_clients_and_rounds_have_resources_of_their_own(make, native_context):
  work = aggregations.by_client(make)
  expected = rounds(native_context, work)
  for devices, at_once in ((1, 1), (1, 3), (2, 2)):
    run_in = context.LocalDeviceContext(
      [f'/CPU:{i}' for i in range(devices)], at_once, allow_native=False
    )
    for _ in range(2):
      for found, wanted in zip(rounds(run_in, work), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_an_iterator_is_of_one_client():
  """TFF's own runtime does not run it."""
  work = aggregations.by_client(iterator)
  run_in = context.LocalDeviceContext(['/CPU:0'], 3, allow_native=False)
  for found, cohort in zip(rounds(run_in, work), ROUNDS, strict=True):
    np.testing.assert_array_equal(found, np.sort(cohort))


def test_a_vocabulary_that_is_broadcast_is_that_of_the_round(native_context):
  words = tff.TensorType(np.str_, [None])

  @tff.tensorflow.computation(words, words)
  def known(vocabulary, text):
    table = tf.lookup.StaticHashTable(
      tf.lookup.KeyValueTensorInitializer(
        vocabulary, tf.range(1, tf.size(vocabulary) + 1)
      ),
      0,
    )
    return tf.reshape(tf.reduce_sum(table.lookup(text)), [])

  @tff.federated_computation(
    tff.FederatedType(words, tff.SERVER), tff.FederatedType(words, tff.CLIENTS)
  )
  def total(vocabulary, texts):
    shared = tff.federated_broadcast(vocabulary)
    return tff.federated_sum(tff.federated_map(known, (shared, texts)))

  texts = [['a', 'b'], ['c', 'a'], ['z'], ['b', 'c', 'b']]
  texts = [np.array(text, object) for text in texts]
  run_in = context.LocalDeviceContext(['/CPU:0'], 2, allow_native=False)
  other = context.LocalDeviceContext(['/CPU:0'], 2, allow_native=False)
  for vocabulary in (['a', 'b', 'c'], ['z'], ['c', 'q', 'b', 'a']):
    vocabulary = np.array(vocabulary, object)
    argument = tff.structure.Struct([(None, vocabulary), (None, texts)])
    wanted = native_context.invoke(total, argument)
    assert run_in.invoke(total, argument) == wanted
    assert other.invoke(total, argument) == wanted


def test_computations_with_tables_of_the_same_name_do_not_meet():
  def named(values):
    def work(x):
      table = tf.raw_ops.HashTableV2(
        key_dtype=tf.int64, value_dtype=tf.float32, shared_name='table'
      )
      insert = tf.raw_ops.LookupTableImportV2(
        table_handle=table, keys=tf.constant([1], tf.int64), values=values
      )
      again = tf.raw_ops.HashTableV2(  # The same, by its name.
        key_dtype=tf.int64, value_dtype=tf.float32, shared_name='table'
      )
      with tf.control_dependencies([insert]):
        found = tf.raw_ops.LookupTableFindV2(
          table_handle=again,
          keys=tf.constant([1], tf.int64),
          default_value=0.0,
        )
      return x + float_of(found)

    return aggregations.by_client(work)

  run_in = context.LocalDeviceContext(['/CPU:0'], 2, allow_native=False)
  first, second = named([10.0]), named([20.0])
  for _ in range(2):
    for work, expected in ((first, [11, 12]), (second, [21, 22])):
      found = run_in.invoke(work, [1.0, 2.0])
      np.testing.assert_array_equal(np.sort(found), expected)


def queue(x):
  kept = tf.queue.FIFOQueue(10, [tf.float32])
  return after(kept.enqueue(x), kept.size)


def priority_queue(x):
  kept = tf.queue.PriorityQueue(10, [tf.float32], [[]])
  return after(kept.enqueue((tf.ones([], tf.int64), x)), kept.size)


def shuffled_queue(x):
  kept = tf.queue.RandomShuffleQueue(10, 0, [tf.float32])
  return after(kept.enqueue(x), kept.size)


def padding_queue(x):
  kept = tf.queue.PaddingFIFOQueue(10, [tf.float32], [[]])
  return after(kept.enqueue(x), kept.size)


def barrier(x):
  kept = data_flow_ops.Barrier([tf.float32], shapes=[[]])
  insert = kept.insert_many(0, [tf.as_string(x)], [x])
  return after(insert, kept.ready_size)


def accumulator(x):
  kept = data_flow_ops.ConditionalAccumulator(tf.float32, shape=[])
  return after(kept.apply_grad(x, 0), kept.num_accumulated)


def sparse_accumulator(x):
  kept = data_flow_ops.SparseConditionalAccumulator(tf.float32, shape=[2])
  apply = kept.apply_grad([0], tf.reshape(x, [1]), [2], 0)
  return after(apply, kept.num_accumulated)


def staging_area(x):
  kept = data_flow_ops.StagingArea([tf.float32])
  return after(kept.put([x]), kept.size)


def map_staging_area(x):
  kept = data_flow_ops.MapStagingArea([tf.float32])
  return after(kept.put(tf.ones([], tf.int64), [x], [0]), kept.size)


def reference_variable(x):
  kept = tf.compat.v1.Variable(0.0, use_resource=False)
  with tf.control_dependencies([kept.initializer]):
    return float_of(tf.compat.v1.assign_add(kept, x))


def reader(x):
  names = tf.queue.FIFOQueue(9, [tf.string], shapes=[[]])
  with tf.control_dependencies([names.enqueue(tf.as_string(x))]):
    _, value = tf.compat.v1.IdentityReader().read(names)
  return float_of(tf.strings.to_number(value))


def one_shot_iterator(x):
  numbers = tf.compat.v1.data.make_one_shot_iterator(tf.data.Dataset.range(9))
  return x + float_of(numbers.get_next())


def learned_sampler(x):
  _, _, expected = tf.random.learned_unigram_candidate_sampler(
    tf.fill([1, 3], tf.cast(x, tf.int64)), 3, 2, False, range_max=8, seed=1
  )
  return float_of(tf.reduce_sum(expected))


def batched(x):
  @tf.nondifferentiable_batch_function(1, 2, 10_000)
  def total(values):
    return values + tf.reduce_sum(values)

  return float_of(total(tf.reshape(x, [1])))


def python_function(x):
  return float_of(tf.numpy_function(lambda value: value, [x], tf.float32))


def summary(x):
  with tf.summary.create_file_writer('summaries').as_default():
    written = tf.summary.scalar('x', x, step=0)
  return after(written, lambda: x)


def sparse_tensors_map(x):
  handle = tf.raw_ops.AddSparseToTensorsMap(
    sparse_indices=tf.zeros([1, 1], tf.int64),
    sparse_values=tf.reshape(x, [1]),
    sparse_shape=tf.ones([1], tf.int64),
  )
  return float_of(handle)


def session_handle(x):
  return float_of(tf.strings.length(tf.raw_ops.GetSessionHandle(value=x)))


def statistics(x):
  kept = tf.raw_ops.StatsAggregatorHandle()
  found = tf.raw_ops.StatsAggregatorSummary(iterator=kept)
  return x + float_of(tf.strings.length(found))


def thread_pool(x):
  found = tf.raw_ops.ThreadPoolDataset(
    input_dataset=tf.data.experimental.to_variant(tf.data.Dataset.range(3)),
    thread_pool=tf.raw_ops.ThreadPoolHandle(num_threads=1, display_name='pool'),
    output_types=[tf.int64],
    output_shapes=[[]],
  )
  return x + float_of(tf.raw_ops.DatasetCardinality(input_dataset=found))


REFUSED = [
  *(queue, priority_queue, shuffled_queue, padding_queue, barrier, accumulator),
  *(sparse_accumulator, staging_area, map_staging_area, reference_variable),
  *(reader, one_shot_iterator, learned_sampler, batched, python_function),
  *(summary, sparse_tensors_map, session_handle, statistics, thread_pool),
]


@pytest.mark.parametrize('make', REFUSED, ids=lambda make: make.__name__)
def test_what_would_keep_a_state_is_refused(make):
  work = aggregations.by_client(make)
  run_in = context.LocalDeviceContext(['/CPU:0'], 1, allow_native=False)
  with pytest.raises(graph_piece.UnsupportedError, match='a state of its own'):
    run_in.invoke(work, [1.0])


def test_a_table_inside_of_a_function_is_refused():
  """A loop would make another in each of its steps."""

  def work(x):
    @tf.function
    def fill():
      table = tf.raw_ops.HashTableV2(
        key_dtype=tf.int64, value_dtype=tf.float32, shared_name='inside'
      )
      return tf.raw_ops.LookupTableSizeV2(table_handle=table)

    return x + float_of(fill())

  run_in = context.LocalDeviceContext(['/CPU:0'], 1, allow_native=False)
  with pytest.raises(graph_piece.UnsupportedError, match='HashTableV2'):
    run_in.invoke(aggregations.by_client(work), [1.0])
