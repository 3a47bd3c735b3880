"""Measures the aggregate at the server and, unprotected, clients' updates."""

import collections

import tensorflow as tf

from tff_asr import compat


def norms_of_aggregate(aggregate: compat.Value) -> collections.OrderedDict:
  """Measures the L2 norm of each tensor of an aggregate, after the noise."""

  @compat.tf_computation(aggregate.type_signature.member)
  def norms(value):
    return _norms(value)

  return collections.OrderedDict(
    layer_norms=compat.federated_map(norms, aggregate)
  )


def unprotected_sums(updates: compat.Value) -> collections.OrderedDict:
  """Sums measurements of clients' updates, without any noise.

  No guarantee covers these figures.  They are for research, and are released
  only on request.

  Returns:
    `clients`: the number of clients that answered; `failed`: the number of them
    whose update is zero everywhere, because TFF replaces the update of a client
    whose loss is not finite; and `layer_norms`: float32 `[tensors]`, sums of
    the norms before clipping.
  """

  @compat.tf_computation(updates.type_signature.member)
  def look(update):
    norms = _norms(update)
    failed = tf.logical_not(tf.reduce_any(norms > 0.0))
    return collections.OrderedDict(
      clients=tf.constant(1.0),
      failed=tf.cast(failed, tf.float32),
      layer_norms=tf.where(tf.math.is_finite(norms), norms, 0.0),
    )

  return collections.OrderedDict(
    unprotected=compat.federated_sum(compat.federated_map(look, updates))
  )


def _norms(value) -> tf.Tensor:
  return tf.stack([tf.norm(tensor) for tensor in tf.nest.flatten(value)])
