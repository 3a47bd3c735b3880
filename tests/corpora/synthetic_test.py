import hashlib

import numpy as np

from tff_asr.corpora import utterance
from tff_asr.corpora.synthetic import corpus
from tff_asr.text import vocabulary

CONFIG = corpus.SyntheticConfig(clients=3, seed=7, mean_utterances=4.0)


def digest(utterances):
  content = hashlib.sha256()
  for u in utterances:
    content.update(f'{u.client_id} {u.utterance_id} {u.text}'.encode())
    content.update(u.audio.tobytes())
  return content.hexdigest()


def test_the_same_seed_gives_the_same_samples_and_a_larger_corpus_holds_them():
  small = list(corpus.read(CONFIG))
  larger = list(corpus.read(corpus.SyntheticConfig(4, 7, 4.0)))
  assert digest(larger[: len(small)]) == digest(small)
  assert len({u.client_id for u in larger}) == 4


def test_another_seed_gives_other_speakers_under_other_names():
  one = list(corpus.read(CONFIG))
  other = list(corpus.read(corpus.SyntheticConfig(3, 8, 4.0)))
  assert not {u.client_id for u in one} & {u.client_id for u in other}
  assert [u.text for u in one] != [u.text for u in other]


def test_every_utterance_can_be_trained_on():
  characters = vocabulary.CharacterVocabulary()
  for u in corpus.read(CONFIG):
    assert utterance.check(u, characters, 30.0) is u
    assert 0.5 < u.seconds < 10.0
    assert np.abs(u.audio.astype(int)).max() > 3_000
