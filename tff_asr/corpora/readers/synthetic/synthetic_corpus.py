"""Reader of synthetic speakers, reproducible from a seed.

A speaker has an accent, a voice, a pitch, a tempo, a microphone, a room, a
noise, a taste in topics and a number of utterances.  The seed and the number of
the speaker decide all of them, so a larger corpus contains the smaller ones.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import hashlib
import json
import math
import random

import numpy as np

from tff_asr import errors
from tff_asr.corpora import parallel, utterance
from tff_asr.corpora.readers import registration, sources
from tff_asr.corpora.readers.synthetic import channel, grammar, synthesiser

_ACCENTS = (
  'gmw/en',
  'gmw/en-US',
  'gmw/en-GB-scotland',
  'gmw/en-GB-x-rp',
  'gmw/en-GB-x-gbclan',
  'gmw/en-029',
)
# Variants with a `breath` line differ between runs; they are left out.
_VARIANTS = (
  'm1 m2 m3 m5 m6 m7 f1 Andrea Gene Lee Mario linda steph belinda'
).split()
_HELD_OUT_VARIANTS = 'm4 m8 f4 Annie Michael'.split()
_MAX_UTTERANCES = 40
# Speakers made in advance, for each core.
_AHEAD = 2
# Version of the corpus of a seed, for the cache.  Increase it if the code below
# makes another corpus from the same seed.
_EDITION = 2


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
  """Settings of a synthetic corpus.

  Attributes:
    clients: Number of speakers.
    seed: Seed of all random draws.
    mean_utterances: Mean number of utterances of a speaker.
    quantity_shape: Shape of the Pareto distribution of the number of
      utterances, above 1.  A lower shape makes speakers less equal.
    topic_concentration: Concentration of the Dirichlet distribution of topics.
      A low concentration gives each speaker few topics.
    voice_spread: Spread of accents, voices, pitch and tempo between speakers:
      from 0 (all equal) to 1 (the range that the synthesiser speaks well).
    room_spread: Spread of microphones, rooms and levels, from 0 to 1.
    noise_spread: Spread of background noise, from 0 to 1.
    held_out_voices: Whether the speakers have the voices reserved for
      evaluation.  Otherwise they have the other voices.

  Raises:
    UserError: If a value is out of its range.
  """

  clients: int
  seed: int
  mean_utterances: float = 12.0
  quantity_shape: float = 2.0
  topic_concentration: float = 0.5
  voice_spread: float = 1.0
  room_spread: float = 1.0
  noise_spread: float = 1.0
  held_out_voices: bool = False

  def __post_init__(self):
    errors.require_positive(
      clients=self.clients,
      mean_utterances=self.mean_utterances,
      topic_concentration=self.topic_concentration,
    )
    if not 1.0 < self.quantity_shape < math.inf:
      raise errors.UserError(
        f'`quantity_shape={self.quantity_shape}` must be above 1: otherwise the'
        ' Pareto distribution has no mean.'
      )
    for name in 'voice_spread', 'room_spread', 'noise_spread':
      if not 0.0 <= getattr(self, name) <= 1.0:
        raise errors.UserError(
          f'`{name}={getattr(self, name)}` must be between 0 and 1.'
        )

  @property
  def digest(self) -> str:
    """Name of the corpus in a cache."""
    content = json.dumps([_EDITION, dataclasses.astuple(self)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


class Synthetic(sources.Source):
  """A corpus of synthetic speakers, equal for equal settings."""

  def __init__(self, config: SyntheticConfig):
    self._config = config
    self.description = f'synthetic, {config}'

  def survey(self) -> tuple[list[str], int]:
    config = self._config
    numbers = range(config.clients)
    count = sum(len(_texts(config, _generator(config, n))) for n in numbers)
    return [_client_id(config, n) for n in numbers], count

  def items(self) -> Iterator[utterance.Utterance]:
    """Yields all utterances, speaker by speaker.

    Raises:
      RuntimeError: If the speech synthesiser fails.
    """
    config = self._config
    with (
      synthesiser.Synthesiser() as speech,
      contextlib.closing(
        parallel.map_in_order(
          lambda number: _speaker(config, number, speech),
          range(config.clients),
          _AHEAD,
        )
      ) as speakers,
    ):
      for _, speaker in speakers:
        yield from speaker


def _client_id(config: SyntheticConfig, number: int) -> str:
  held_out = 'heldout-' if config.held_out_voices else ''
  return f'synthetic-{held_out}{config.seed}-{number:05d}'


def _generator(config: SyntheticConfig, number: int) -> random.Random:
  return random.Random(f'{config.seed} {number}')


def _speaker(
  config: SyntheticConfig, number: int, speech: synthesiser.Synthesiser
) -> list[utterance.Utterance]:
  rng = _generator(config, number)
  noise_rng = np.random.default_rng([config.seed, number])
  texts = _texts(config, rng)
  rate, voices = speech.speak({**_voice(config, rng), 'texts': texts})
  microphone = channel.draw(noise_rng, config.room_spread, config.noise_spread)
  client_id = _client_id(config, number)
  return [
    utterance.Utterance(
      client_id,
      f'{client_id}-{i:04d}',
      channel.record(microphone, voice, rate, noise_rng),
      text,
    )
    for i, (text, voice) in enumerate(zip(texts, voices, strict=True))
  ]


def _voice(config: SyntheticConfig, rng: random.Random) -> dict[str, object]:
  """Draws a voice: the request to the synthesiser, without the texts."""
  variants = _HELD_OUT_VARIANTS if config.held_out_voices else _VARIANTS

  def choice(among):
    own = rng.random() < config.voice_spread
    drawn = rng.choice(among)
    return drawn if own else among[0]

  def between(low, high):
    middle, reach = (low + high) / 2, config.voice_spread * (high - low) / 2
    return round(middle + reach * rng.uniform(-1.0, 1.0))

  return dict(
    voice=f'{choice(_ACCENTS)}+{choice(variants)}',
    pitch=between(20, 80),
    range=between(20, 80),
    rate=between(150, 230),
  )


def _texts(config: SyntheticConfig, rng: random.Random) -> list[str]:
  shape = config.quantity_shape
  scale = config.mean_utterances * (shape - 1) / shape
  count = round(scale * rng.paretovariate(shape))
  topics = rng.choices(
    list(grammar.TOPICS),
    grammar.topic_weights(rng, config.topic_concentration),
    k=min(max(count, 1), _MAX_UTTERANCES),
  )
  return [grammar.sentence(rng, topic) for topic in topics]


_DEFAULTS = SyntheticConfig(clients=64, seed=0)


def _setting(
  name: str, kind: registration.Kind, help: str, **bounds: float
) -> registration.Setting:
  default = getattr(_DEFAULTS, name)
  return registration.Setting(name, kind, default, help, **bounds)


READER = registration.Reader(
  'synthetic speakers; no files are read.',
  (
    _setting(
      'clients',
      registration.Kind.INTEGER,
      'number of speakers.',
      lower_bound=1,
    ),
    _setting('seed', registration.Kind.INTEGER, 'seed of the speakers.'),
    _setting(
      'mean_utterances',
      registration.Kind.NUMBER,
      'mean number of utterances of a speaker.',
    ),
    _setting(
      'quantity_shape',
      registration.Kind.NUMBER,
      'shape of the Pareto distribution of the number of utterances, above 1; a'
      ' lower shape makes speakers less equal.',
    ),
    _setting(
      'topic_concentration',
      registration.Kind.NUMBER,
      'concentration of the Dirichlet distribution of topics; a low value gives'
      ' each speaker few topics.',
    ),
    _setting(
      'voice_spread',
      registration.Kind.NUMBER,
      'spread of voices between speakers, from 0 to 1.',
    ),
    _setting(
      'room_spread',
      registration.Kind.NUMBER,
      'spread of rooms and microphones between speakers, from 0 to 1.',
    ),
    _setting(
      'noise_spread',
      registration.Kind.NUMBER,
      'spread of background noise between speakers, from 0 to 1.',
    ),
    _setting(
      'held_out_voices',
      registration.Kind.SWITCH,
      'speakers with the voices reserved for evaluation, which no other'
      ' speakers have.',
    ),
  ),
  lambda **settings: Synthetic(SyntheticConfig(**settings)),
)
