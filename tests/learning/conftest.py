"""What the tests of this room share: a small store, a small encoder."""

import numpy as np
import pytest

from tests import stores
from tff_asr.corpora import utterance

WORDS = 'yes no on off'.split()


@pytest.fixture(scope='session')
def speech(tmp_path_factory):
  """Three clients, three utterances each; a word is a tone of its own."""
  rng = np.random.default_rng(0)
  path = tmp_path_factory.mktemp('stores') / 'store'

  def audio(word):
    time = np.arange(6_400) / 16_000
    tone = np.sin(2 * np.pi * (400 + 700 * WORDS.index(word)) * time)
    noise = rng.normal(size=len(time))
    return (6_000 * tone + 100 * noise).astype(np.int16)

  utterances = [
    utterance.Utterance(client, f'{client}-{i}', audio(word), word)
    for client in ('a', 'b', 'c')
    for i, word in enumerate(rng.permutation(WORDS)[:3])
  ]
  return stores.opened(path, utterances)
