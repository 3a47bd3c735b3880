"""Reads each of TFF's types once, however often a computation names it.

TFF writes the type of every part of a computation into the computation's
description, and reads it again with every part.  The type of a model's weights
names all of its tensors.  For a model of 36 blocks, TFF would build a million
types before the first round.
"""

import functools

from tensorflow_federated.proto.v0 import computation_pb2
from tensorflow_federated.python.core.impl.types import type_serialization

_MOST = 4096  # Types in the cache.


def install() -> None:
  """Makes TFF keep the types that it reads."""
  read = type_serialization.deserialize_type
  if hasattr(read, 'cache_info'):
    return

  @functools.lru_cache(_MOST)
  def cached(description: bytes):
    return read(computation_pb2.Type.FromString(description))

  @functools.wraps(read)
  def deserialize_type(type_proto):
    return cached(type_proto.SerializeToString(deterministic=True))

  deserialize_type.cache_info = cached.cache_info
  type_serialization.deserialize_type = deserialize_type
