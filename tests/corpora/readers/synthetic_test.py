import hashlib
import statistics

import numpy as np
import pytest

from tests import stores
from tff_asr import errors
from tff_asr.corpora import utterance
from tff_asr.corpora.readers.synthetic import synthesiser, synthetic_corpus

CONFIG = synthetic_corpus.SyntheticConfig(
  clients=3, seed=7, mean_utterances=4.0
)


def read(*args, **kwargs):
  return list(
    synthetic_corpus.Synthetic(
      synthetic_corpus.SyntheticConfig(*args, **kwargs)
    ).items()
  )


def digest(utterances):
  content = hashlib.sha256()
  for u in utterances:
    content.update(f'{u.client_id} {u.utterance_id} {u.text}'.encode())
    content.update(u.audio.tobytes())
  return content.hexdigest()


def test_the_same_seed_gives_the_same_samples_and_a_larger_corpus_holds_them():
  small = list(synthetic_corpus.Synthetic(CONFIG).items())
  larger = read(4, 7, 4.0)
  assert digest(larger[: len(small)]) == digest(small)
  clients, count = synthetic_corpus.Synthetic(CONFIG).survey()
  assert count == len(small)
  assert clients == sorted({u.client_id for u in small})


def test_another_seed_gives_other_speakers_under_other_names():
  one, other = list(synthetic_corpus.Synthetic(CONFIG).items()), read(3, 8, 4.0)
  assert not {u.client_id for u in one} & {u.client_id for u in other}
  assert [u.text for u in one] != [u.text for u in other]


def test_every_utterance_can_be_trained_on():
  for u in synthetic_corpus.Synthetic(CONFIG).items():
    assert utterance.tokens_of(u, stores.ENGLISH, 30.0)
    assert 0.5 < u.seconds < 10.0
    assert np.abs(u.audio.astype(int)).max() > 3_000


def requests(monkeypatch, **kwargs):
  """What 60 speakers would have the synthesiser say."""
  found = []

  def speak(_, request):
    found.append(request)
    return 22_050, [np.zeros(99, np.int16)] * len(request['texts'])

  monkeypatch.setattr(synthesiser.Synthesiser, 'speak', speak)
  list(
    synthetic_corpus.Synthetic(
      synthetic_corpus.SyntheticConfig(60, 1, **kwargs)
    ).items()
  )
  return found


def test_held_out_speakers_have_voices_that_no_others_have(monkeypatch):
  voices = {
    held_out: {
      r['voice'].split('+')[1]
      for r in requests(monkeypatch, held_out_voices=held_out)
    }
    for held_out in (False, True)
  }
  assert len(voices[True]) > 2 and len(voices[False]) > 5
  assert not voices[True] & voices[False]


def test_a_low_shape_makes_speakers_unequal(monkeypatch):
  """Of the same chance, so that the comparison is no matter of luck."""
  spread = [
    statistics.stdev(
      len(r['texts'])
      for r in requests(monkeypatch, quantity_shape=shape, mean_utterances=6.0)
    )
    for shape in (1.5, 3.0, 50.0)
  ]
  assert spread[0] > 1.5 * spread[1] > 3.0 * spread[2]


def test_a_low_concentration_gives_speakers_few_topics(monkeypatch):
  different = []
  for concentration in 0.05, 50.0:
    found = requests(
      monkeypatch,
      topic_concentration=concentration,
      quantity_shape=50.0,
      mean_utterances=30.0,
    )
    different.append(
      statistics.mean(len({t.split()[0] for t in r['texts']}) for r in found)
    )
  assert different[0] < 0.7 * different[1]


def test_without_spread_all_voices_are_one(monkeypatch):
  def voices(spread):
    return {
      (r['voice'], r['pitch'], r['range'], r['rate'])
      for r in requests(monkeypatch, voice_spread=spread)
    }

  assert len(voices(0.0)) == 1
  assert len(voices(1.0)) == 60


@pytest.mark.parametrize('name', ['room_spread', 'noise_spread'])
def test_spread_of_rooms_and_noise(name, monkeypatch):
  """The number of different values, over 20 draws, of what each knob turns."""
  own = {
    'room_spread': ('low_hz', 'high_hz', 'reverberation', 'echo', 'peak'),
    'noise_spread': ('noise_db', 'noise_slope'),
  }[name]
  spreads = {'room_spread': 1.0, 'noise_spread': 1.0, name: 0.0}
  draws = [
    synthetic_corpus.channel.draw(np.random.default_rng(i), **spreads)
    for i in range(20)
  ]
  for field in synthetic_corpus.channel.Channel.__dataclass_fields__:
    values = {getattr(d, field) for d in draws}
    assert len(values) == (1 if field in own else 20), field


@pytest.mark.parametrize(
  'wrong',
  [
    dict(clients=0),
    dict(quantity_shape=1.0),
    dict(topic_concentration=0.0),
    dict(voice_spread=1.1),
    dict(noise_spread=-0.1),
  ],
)
def test_knobs_have_ranges(wrong):
  with pytest.raises(errors.UserError, match=next(iter(wrong))):
    synthetic_corpus.SyntheticConfig(**{'clients': 1, 'seed': 0, **wrong})
