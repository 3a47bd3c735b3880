"""Synthetic speakers, reproducible from a seed.

A speaker is an accent, a voice, a pitch, a tempo, a microphone, a room, a
noise, a taste in topics and a number of utterances; all are drawn from the seed
and the speaker's number alone, so that a larger corpus holds the smaller ones.
"""

from collections.abc import Iterator
from concurrent import futures
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import random
import struct
import subprocess
import sys

import numpy as np

from tff_asr.corpora import utterance
from tff_asr.corpora.synthetic import channel, grammar

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
  'm1 m2 m3 m4 m5 m6 m7 m8 f1 f4 Andrea Annie Gene Lee Mario Michael linda'
  ' steph belinda'
).split()
_TOPIC_CONCENTRATION = 0.5
_PARETO_SHAPE = 2.0
_MAX_UTTERANCES = 40
# Version of what a seed gives, for the cache.
_EDITION = 1


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
  """Which corpus is wanted.

  Attributes:
    clients: Number of speakers.
    seed: Seed of all that is drawn.
    mean_utterances: Mean number of utterances of a speaker; the numbers follow
      a Pareto law, most are below it.
  """

  clients: int
  seed: int
  mean_utterances: float = 12.0

  @property
  def digest(self) -> str:
    """Name of this corpus in a cache."""
    content = json.dumps([_EDITION, dataclasses.astuple(self)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def read(config: SyntheticConfig) -> Iterator[utterance.Utterance]:
  """Yields all utterances, speaker by speaker, the same for the same config.

  Raises:
    RuntimeError: If the speech synthesiser fails.
  """
  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    speakers = pool.map(
      functools.partial(_speaker, config), range(config.clients)
    )
    for utterances in speakers:
      yield from utterances


def _speaker(config: SyntheticConfig, number: int) -> list[utterance.Utterance]:
  rng = random.Random(f'{config.seed} {number}')
  noise_rng = np.random.default_rng([config.seed, number])
  texts = _texts(config, rng)
  rate, voices = _speak(
    dict(
      voice=f'{rng.choice(_ACCENTS)}+{rng.choice(_VARIANTS)}',
      pitch=rng.randint(20, 80),
      range=rng.randint(20, 80),
      rate=rng.randint(150, 230),
      texts=texts,
    )
  )
  microphone = channel.draw(noise_rng)
  client_id = f'synthetic-{config.seed}-{number:05d}'
  return [
    utterance.Utterance(
      client_id,
      f'{client_id}-{i:04d}',
      channel.record(microphone, voice, rate, noise_rng),
      text,
    )
    for i, (text, voice) in enumerate(zip(texts, voices, strict=True))
  ]


def _texts(config: SyntheticConfig, rng: random.Random) -> list[str]:
  mean_of_pareto = _PARETO_SHAPE / (_PARETO_SHAPE - 1)
  scale = config.mean_utterances / mean_of_pareto
  count = round(scale * rng.paretovariate(_PARETO_SHAPE))
  topics = rng.choices(
    list(grammar.TOPICS),
    grammar.topic_weights(rng, _TOPIC_CONCENTRATION),
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
