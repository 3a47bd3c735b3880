"""A program that is written for TFF does not notice the change of runtime."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tests.executors import algorithms
from tff_asr.executors import context, native

# Numbers of examples of the clients of each round.
COHORTS = ([4, 1, 5], [], [3], [2, 4, 1, 7, 0])


@pytest.fixture(scope='module')
def native_rounds():
  """Returns a function from an algorithm's name to the native results."""
  worker = native.Worker(2)
  native_context = native.create_context(worker)
  known = {}

  def results(name):
    if name not in known:
      process = algorithms.ALGORITHMS[name]()
      known[name] = process, list(rounds(native_context, process))
    return known[name]

  yield results
  worker.stop()


def local_context(devices, clients_per_device):
  return context.LocalDeviceContext(
    [f'/CPU:{i}' for i in range(devices)],
    clients_per_device,
    allow_native=False,
  )


def assert_same(found, expected, exact):
  """Compares structures of arrays, and the types of containers and leaves."""
  assert type(found) is type(expected)
  if isinstance(expected, tf.data.Dataset):
    assert found.element_spec == expected.element_spec
    return assert_same(list(found), list(expected), exact)
  if isinstance(expected, collections.abc.Mapping):
    assert list(found) == list(expected)
    return assert_same(list(found.values()), list(expected.values()), exact)
  if hasattr(expected, '__attrs_attrs__'):
    names = [a.name for a in expected.__attrs_attrs__]
    return assert_same(
      [getattr(found, n) for n in names],
      [getattr(expected, n) for n in names],
      exact,
    )
  if isinstance(expected, list | tuple):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
      assert_same(one, other, exact)
    return None
  found, expected = np.asarray(found), np.asarray(expected)
  assert found.dtype == expected.dtype
  if exact or expected.dtype.kind not in 'fc':
    np.testing.assert_array_equal(found, expected)
  else:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
  return None


def rounds(run_in, process):
  tff.framework.set_default_context(run_in)
  state = process.initialize()
  yield state
  for number, cohort in enumerate(COHORTS):
    clients = [
      algorithms.dataset(10 * number + i, examples)
      for i, examples in enumerate(cohort)
    ]
    output = process.next(state, clients)
    state = output.state
    yield output


@pytest.mark.parametrize(
  ['devices', 'clients_per_device'], [(1, 1), (4, 1)], ids=['one', 'four']
)
@pytest.mark.parametrize('name', algorithms.ALGORITHMS)
def test_an_algorithm_of_tff(name, devices, clients_per_device, native_rounds):
  process, expected = native_rounds(name)
  found = list(rounds(local_context(devices, clients_per_device), process))
  if name in algorithms.SEEDED_BY_THE_CLOCK:
    found, expected = (
      [r.state.global_model_weights for r in results[1:]]
      for results in (found, expected)
    )
  assert_same(found, expected, exact=False)


@pytest.mark.parametrize('clients_per_device', [1, 3])
def test_two_devices(clients_per_device, native_rounds):
  process, expected = native_rounds('weighted_fed_avg')
  found = list(rounds(local_context(2, clients_per_device), process))
  assert_same(found, expected, exact=False)


def test_a_cohort_of_one_gives_the_same_bits(native_rounds):
  """There is nothing to add up then."""
  process, _ = native_rounds('weighted_fed_avg')
  client = [algorithms.dataset(0, 5)]
  found = []
  for run_in in (local_context(1, 1), local_context(4, 2)):
    tff.framework.set_default_context(run_in)
    found.append(process.next(process.initialize(), client))
  assert_same(*found, exact=True)
