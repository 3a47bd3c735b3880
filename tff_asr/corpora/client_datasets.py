"""Datasets of batches, from the records of a client store.

Built of plain TensorFlow operations from a client's name, so that TFF can make
them where the client is trained.
"""

import collections
import dataclasses

import numpy as np
import tensorflow as tf

from tff_asr.audio import features
from tff_asr.text import vocabulary

# A batch; every length travels beside what it measures.
BATCH_SPEC = collections.OrderedDict(
  features=tf.TensorSpec([None, None, features.MEL_BANDS], tf.float32),
  frames=tf.TensorSpec([None], tf.int32),
  tokens=tf.TensorSpec([None, None], tf.int32),
  token_lengths=tf.TensorSpec([None], tf.int32),
)


@dataclasses.dataclass(frozen=True)
class BatchConfig:
  """How a client's utterances are batched and repeated.

  Attributes:
    batch_size: Utterances in a batch.
    epochs: Passes over the client's data.
  """

  batch_size: int
  epochs: int


def token_table(characters: vocabulary.CharacterVocabulary) -> np.ndarray:
  """Tokens by code point, int32; code points without a token have the blank."""
  table = np.zeros(max(map(ord, characters.characters)) + 1, np.int32)
  for token, character in enumerate(characters.characters, start=1):
    table[ord(character)] = token
  return table


def parse(
  record: dict[str, tf.Tensor], table: np.ndarray
) -> collections.OrderedDict[str, tf.Tensor]:
  """Turns one record of a store into one example: a batch without its axis."""
  pcm = tf.io.decode_raw(record['audio'], tf.int16)
  log_mel = features.log_mel(tf.cast(pcm, tf.float32) / 32768.0)
  tokens = tf.gather(table, tf.strings.unicode_decode(record['text'], 'UTF-8'))
  return collections.OrderedDict(
    features=log_mel,
    frames=tf.shape(log_mel)[0],
    tokens=tokens,
    token_lengths=tf.shape(tokens)[0],
  )


def batches(
  records: tf.data.Dataset,
  characters: vocabulary.CharacterVocabulary,
  config: BatchConfig,
) -> tf.data.Dataset:
  """Batches of one client's records, in a new order every epoch.

  Neighbours in the store are of similar length and share a batch, so that
  little is padded; whole batches are shuffled.

  Args:
    records: Elements as in `store.RECORD_SPEC`.
    characters: The alphabet of the texts.
    config: Batch size and epochs.

  Returns:
    Elements as in `BATCH_SPEC`.
  """
  table = token_table(characters)
  return (
    records.map(lambda record: parse(record, table))
    .padded_batch(config.batch_size)
    .cache()
    .shuffle(1_000)
    .repeat(config.epochs)
  )
