"""Aggregations that keep the values of all clients apart."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

AT_CLIENTS = tff.FederatedType(np.float32, tff.CLIENTS)
_VALUES = tff.TensorType(np.float32, [None])


def concatenated():
  """Returns an aggregation that keeps values in the order of the clients."""

  @tff.tensorflow.computation
  def zero():
    return tf.zeros([0])

  @tff.tensorflow.computation(_VALUES, np.float32)
  def accumulate(values, value):
    return tf.concat([values, [value]], 0)

  @tff.tensorflow.computation(_VALUES, _VALUES)
  def merge(first, second):
    return tf.concat([first, second], 0)

  @tff.tensorflow.computation(_VALUES)
  def report(values):
    return values

  return lambda values: tff.federated_aggregate(
    values, zero(), accumulate, merge, report
  )


def by_client(work: Callable) -> tff.Computation:
  """Returns a computation of what a TensorFlow function gives each client."""
  work = tff.tensorflow.computation(work, np.float32)
  aggregate = concatenated()

  @tff.federated_computation(AT_CLIENTS)
  def computation(values):
    return aggregate(tff.federated_map(work, values))

  return computation
