"""Synthetic speakers, reproducible from a seed.

A speaker is an accent, a voice, a pitch, a tempo, a microphone, a room, a
noise, a taste in topics and a number of utterances; all are drawn from the seed
and the speaker's number alone, so that a larger corpus holds the smaller ones.
"""

from collections.abc import Iterator
import dataclasses
import hashlib
import json
import math
import os
import pathlib
import random
import struct
import subprocess
import sys

import numpy as np

from tff_asr import errors
from tff_asr.corpora import parallel, utterance
from tff_asr.corpora.readers import source
from tff_asr.corpora.readers.synthetic import channel, grammar

_ACCENTS = (
  'gmw/en',
  'gmw/en-US',
  'gmw/en-GB-scotland',
  'gmw/en-GB-x-rp',
  'gmw/en-GB-x-gbclan',
  'gmw/en-029',
)
# Variants with a `breath` line differ between runs and are left out.
_VARIANTS = (
  'm1 m2 m3 m5 m6 m7 f1 Andrea Gene Lee Mario linda steph belinda'
).split()
_HELD_OUT_VARIANTS = 'm4 m8 f4 Annie Michael'.split()
_MAX_UTTERANCES = 40
# Speakers that are made ahead of the one that is read, for each core.
_AHEAD = 2
# Version of what a seed gives, for the cache.
_EDITION = 2


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
  """Which corpus is wanted.

  Attributes:
    clients: Number of speakers.
    seed: Seed of all that is drawn.
    mean_utterances: Mean number of utterances of a speaker.
    quantity_shape: Shape of the Pareto law of the number of utterances, above
      1: the lower, the more unequal the speakers.
    topic_concentration: Of the Dirichlet law of topics: low, a speaker talks of
      few topics; high, all talk of all.
    voice_spread: How much accents, voices, pitch and tempo differ between
      speakers: 0 not at all, 1 as much as the synthesiser can do well.
    room_spread: The same of microphones, rooms and levels.
    noise_spread: The same of background noise.
    held_out_voices: Whether the speakers have the voices that are kept for
      evaluation; no others ever have these.

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
        f'--quantity_shape={self.quantity_shape} must be above 1: a Pareto law'
        ' below that has no mean.'
      )
    for name in 'voice_spread', 'room_spread', 'noise_spread':
      if not 0.0 <= getattr(self, name) <= 1.0:
        raise errors.UserError(
          f'--{name}={getattr(self, name)} must be between 0 and 1.'
        )

  @property
  def digest(self) -> str:
    """Name of this corpus in a cache."""
    content = json.dumps([_EDITION, dataclasses.astuple(self)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


class Synthetic(source.Source):
  """Synthetic speakers, the same for the same config."""

  def __init__(self, config: SyntheticConfig):
    self._config = config
    self.description = f'synthetic, {config}'

  def survey(self) -> tuple[list[str], int]:
    config = self._config
    numbers = range(config.clients)
    count = sum(len(_texts(config, _chance(config, n))) for n in numbers)
    return [_client_id(config, n) for n in numbers], count

  def items(self) -> Iterator[utterance.Utterance]:
    """Yields all utterances, speaker by speaker.

    Raises:
      RuntimeError: If the speech synthesiser fails.
    """
    numbers = range(self._config.clients)
    for _, speaker in parallel.map_in_order(
      lambda number: _speaker(self._config, number), numbers, _AHEAD
    ):
      yield from speaker


def _client_id(config: SyntheticConfig, number: int) -> str:
  held_out = 'heldout-' if config.held_out_voices else ''
  return f'synthetic-{held_out}{config.seed}-{number:05d}'


def _chance(config: SyntheticConfig, number: int) -> random.Random:
  return random.Random(f'{config.seed} {number}')


def _speaker(config: SyntheticConfig, number: int) -> list[utterance.Utterance]:
  rng = _chance(config, number)
  noise_rng = np.random.default_rng([config.seed, number])
  texts = _texts(config, rng)
  rate, voices = _speak({**_voice(config, rng), 'texts': texts})
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
  """Draws a voice: what `espeak_process` takes, without the texts."""
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


def _speak(request: dict) -> tuple[int, list[np.ndarray]]:
  """Returns the sample rate and the int16 samples of every text."""
  program = pathlib.Path(__file__).with_name('espeak_process.py')
  done = subprocess.run(
    [sys.executable, str(program)],
    input=json.dumps(request).encode(),
    capture_output=True,
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    check=False,
  )
  if done.returncode:
    raise RuntimeError(
      f'The speech synthesiser failed: {done.stderr.decode().strip()}'
    )
  (rate,) = struct.unpack_from('<i', done.stdout)
  offset, voices = 4, []
  for _ in request['texts']:
    (count,) = struct.unpack_from('<i', done.stdout, offset)
    voices.append(
      np.frombuffer(done.stdout, '<i2', count, offset + 4).astype(np.int16)
    )
    offset += 4 + 2 * count
  return rate, voices
