"""Datasets of clients, by name: for training in TFF, and pooled.

Plain TensorFlow operations turn a client's name into batches, so TFF can make
the dataset where it trains the client.
"""

import collections
from collections.abc import Sequence
import dataclasses
import secrets

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import compat, tracing
from tff_asr.corpora import batching, client_store

_ROUND = '@'  # Between the name of a client and the number of a round.
SEED_BITS = 62  # Of a seed, or of a random number in a name.


@dataclasses.dataclass(frozen=True)
class RoundNames:
  """Names of the clients of a round, as a `dataset_computation` takes them.

  Attributes:
    insecure_seed: As in `dataset_computation`. Without it the name of a client
      is the same in all rounds, unless names are fresh.
    are_fresh: Whether every name has a new random number.
  """

  insecure_seed: int | None
  are_fresh: bool = False

  def in_round(self, client_ids: Sequence[str], round_number: int) -> list[str]:
    """Returns the names of some clients in a round."""
    if self.are_fresh:
      return [f'{c}{_ROUND}{secrets.randbits(SEED_BITS)}' for c in client_ids]
    if self.insecure_seed is None:
      return list(client_ids)
    return [f'{c}{_ROUND}{round_number}' for c in client_ids]

  def client_of(self, name: str) -> str:
    """Returns the client that has a name in some round."""
    if self.insecure_seed is None and not self.are_fresh:
      return name
    return name.rpartition(_ROUND)[0]


def dataset_computation(
  store: client_store.ClientStore,
  config: batching.BatchConfig,
  seed: int | None = None,
  portable: bool = True,
) -> tff.Computation:
  """Returns the TFF computation from a client's name to its batches.

  The computation reads no client before TFF asks for that client. In contrast,
  `tff.simulation`'s `ClientData` reads the first client to learn the type.

  Args:
    store: The clients.
    config: Size and number of the batches, see `batching.client_batches`.
    seed: Seed for batches that follow from the names; the names are then names
      of `RoundNames`.  By default each use of a name has other batches.
    portable: Whether the graph may run in another process, see
      `ClientStore.all_records`.
  """

  def of_client(name):
    if seed is None:
      records = store.all_records(name, config.limits, portable=portable)
      drawn = tf.random.uniform([2], 0, tf.int32.max, tf.int32)
      return batching.client_batches(records, config, drawn)
    hashes = tf.stack(
      [
        tf.strings.to_hash_bucket_strong(name, tf.int32.max, [seed, i])
        for i in range(2)
      ]
    )
    of_name = tf.cast(hashes, tf.int32)
    client_id = tf.strings.regex_replace(name, f'{_ROUND}[0-9]+$', '')
    records = store.all_records(client_id, config.limits, of_name, portable)
    return batching.client_batches(records, config, of_name)

  return compat.tf_computation(of_client, np.str_)


@tracing.unconverted
def pooled_examples(
  store: client_store.ClientStore, client_ids: Sequence[str]
) -> tf.data.Dataset:
  """Returns the examples of several clients, one client after the other.

  Returns:
    Elements as in `batching.TRANSCRIPTION_SPEC`, without the batch axis.
  """

  def with_names(client_id, record):
    batch = batching.parse(
      {name: value[None] for name, value in record.items()}
    )
    example = collections.OrderedDict(
      (name, value[0]) for name, value in batch.items()
    )
    example['client_id'] = client_id
    example['utterance_id'] = record['utterance_id']
    example['text'] = record['text']
    return example

  return (
    tf.data.Dataset.from_tensor_slices(list(client_ids))
    .flat_map(
      lambda client_id: store.records(client_id).map(
        lambda record: (client_id, record)
      )
    )
    .map(with_names, num_parallel_calls=tf.data.AUTOTUNE)
  )
