"""A type that is read from the cache is the type that TFF would read."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow_federated as tff
from tensorflow_federated.python.core.impl.types import type_serialization

from tff_asr.executors import type_cache

type_cache.install()

TENSORS = st.builds(
  tff.TensorType,
  st.sampled_from([np.float32, np.int64, np.str_, np.bool_]),
  st.none() | st.lists(st.none() | st.integers(0, 9), max_size=3),
)


def _structs(inner):
  names = st.none() | st.text('abc', min_size=1, max_size=2)
  elements = st.lists(
    st.tuples(names, inner), max_size=4, unique_by=lambda e: e[0] or object()
  )
  return elements.map(
    lambda found: tff.StructType([t if n is None else (n, t) for n, t in found])
  )


ELEMENTS = st.recursive(TENSORS, _structs)
MEMBERS = st.recursive(
  ELEMENTS | st.builds(tff.SequenceType, ELEMENTS), _structs
)
TYPES = st.one_of(
  MEMBERS,
  st.builds(tff.FunctionType, st.none() | MEMBERS, MEMBERS),
  st.builds(
    tff.FederatedType,
    MEMBERS,
    st.sampled_from([tff.CLIENTS, tff.SERVER]),
    st.booleans(),
  ),
)


@given(TYPES)
def test_a_type_is_read_as_tff_reads_it(type_spec):
  written = type_serialization.serialize_type(type_spec)
  read = type_serialization.deserialize_type
  expected = read.__wrapped__(written)
  found = read(written)
  assert found.is_equivalent_to(expected) and repr(found) == repr(expected)
  assert type(found) is type(expected)


def test_a_type_is_read_once():
  read = type_serialization.deserialize_type
  type_spec = tff.StructType([('one', np.float32), ('two', (np.int8, [3, 3]))])
  written = type_serialization.serialize_type(type_spec)
  read(written)
  before = read.cache_info().misses
  assert read(type(written).FromString(written.SerializeToString())) is read(
    written
  )
  assert read.cache_info().misses == before


def test_an_unknown_type_is_refused_as_before():
  written = type_serialization.serialize_type(tff.TensorType(np.int32))
  written = type(written)()
  for read in (
    type_serialization.deserialize_type,
    type_serialization.deserialize_type.__wrapped__,
  ):
    with pytest.raises(NotImplementedError):
      read(written)


def test_a_second_installation_changes_nothing():
  before = type_serialization.deserialize_type
  type_cache.install()
  assert type_serialization.deserialize_type is before
