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
def native_context():
  worker = native.Worker(2)
  yield native.create_context(worker)
  worker.stop()


@pytest.fixture(
  scope='module', params=[('/CPU:0', 1), ('/CPU:0', 3)], ids=['1', '3']
)
def local_context(request):
  device, clients_per_device = request.param
  return context.LocalDeviceContext(
    [device], clients_per_device, allow_native=False
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


def rounds(run_in, process, cohorts):
  tff.framework.set_default_context(run_in)
  state = process.initialize()
  yield state
  for number, cohort in enumerate(cohorts):
    clients = [
      algorithms.dataset(10 * number + i, examples)
      for i, examples in enumerate(cohort)
    ]
    output = process.next(state, clients)
    state = output.state
    yield output


@pytest.mark.parametrize('name', algorithms.ALGORITHMS)
def test_an_algorithm_of_tff(name, local_context, native_context):
  process = algorithms.ALGORITHMS[name]()
  for found, expected in zip(
    rounds(local_context, process, COHORTS),
    rounds(native_context, process, COHORTS),
    strict=True,
  ):
    assert_same(found, expected, exact=False)
