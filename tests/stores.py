"""What tests make client stores of: utterances that are given."""

import numpy as np
import tensorflow as tf

from tff_asr.corpora import client_store, preparation, utterance
from tff_asr.corpora.readers import sources
from tff_asr.text import vocabularies

ENGLISH = vocabularies.CharacterVocabulary()


def make(client, name, samples=4_800, text='yes', seed=0):
  """An utterance of noise that its name, its length and a seed decide."""
  rng = np.random.default_rng([seed, samples, *name.encode()])
  audio = rng.integers(-32768, 32768, samples, np.int16)
  return utterance.Utterance(client, name, audio, text)


class Given(sources.Source):
  """A corpus of the items in a list."""

  description = 'test'

  def __init__(self, items):
    self._items = items

  def items(self):
    yield from self._items


def write(path, items, kind='audio', max_seconds=30.0, texts=ENGLISH):
  """Makes a store; returns what went into it."""
  config = preparation.StoreConfig(texts, kind, max_seconds)
  (summary,) = preparation.prepare(Given(items), path, config)
  return summary


def opened(path, items, **kwargs):
  """Makes a store and opens it."""
  write(path, items, **kwargs)
  return client_store.ClientStore(path)


def records(opened_store, client_id, limits=()):
  """The records of a client: `(utterance_id, text, int16 samples)`."""
  return [
    (
      record['utterance_id'].decode(),
      record['text'].decode(),
      np.frombuffer(record['audio'], '<i2'),
    )
    for record in opened_store.records(
      tf.constant(client_id), limits
    ).as_numpy_iterator()
  ]
