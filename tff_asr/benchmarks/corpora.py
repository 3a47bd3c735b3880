"""Makes corpora for measurements without a given corpus."""

import contextlib
import dataclasses
import pathlib
import random

import numpy as np
import soundfile

from tff_asr.audio import features
from tff_asr.corpora import utterance
from tff_asr.corpora.readers import sources
from tff_asr.corpora.readers.synthetic import grammar, synthetic_corpus

SPEAKERS = 32
_PAUSE_SECONDS = 0.29
_LETTER_SECONDS = 0.056
_LONGEST_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Noise(sources.Source):
  """Generates clients with one utterance of noise each.

  Attributes:
    clients: Number of clients.
    seconds: Length of an utterance, in seconds.
    text: Transcript of each utterance.
  """

  clients: int
  seconds: float = 0.25
  text: str = 'no'
  description: str = 'noise'

  def items(self):
    rng = np.random.default_rng(0)
    samples = int(self.seconds * features.SAMPLE_RATE)
    for i in range(self.clients):
      audio = rng.integers(-999, 999, samples, np.int16)
      yield utterance.Utterance(f'client {i:07}', str(i), audio, self.text)


@dataclasses.dataclass(frozen=True)
class Commands(sources.Source):
  """Generates clients who speak commands, with noise in the place of speech.

  The texts are sentences of the synthetic speakers.  An utterance has the
  length at which these speakers say its text on average (measured: 0.29 s and
  0.056 s a letter).  The noise takes no time to make.

  Attributes:
    clients: Number of clients.
    utterances: Number of utterances of a client.
  """

  clients: int
  utterances: int = 2
  description: str = 'commands with noise in the place of speech'

  def items(self):
    rng = random.Random(0)
    longest = int(_LONGEST_SECONDS * features.SAMPLE_RATE)
    noise = np.random.default_rng(0).integers(-999, 999, 2 * longest, np.int16)
    topics = sorted(grammar.TOPICS)
    for i in range(self.clients):
      for j in range(self.utterances):
        text = grammar.sentence(rng, rng.choice(topics))
        seconds = _PAUSE_SECONDS + _LETTER_SECONDS * len(text)
        samples = int(seconds * features.SAMPLE_RATE)
        start = rng.randrange(longest)
        yield utterance.Utterance(
          f'client {i:07}', f'{i}-{j}', noise[start : start + samples], text
        )


def write_librispeech(folder: pathlib.Path) -> None:
  """Writes a corpus of synthetic speakers in LibriSpeech's layout."""
  config = synthetic_corpus.SyntheticConfig(SPEAKERS, 0)
  with contextlib.ExitStack() as stack:
    transcripts = {}
    for item in synthetic_corpus.Synthetic(config).items():
      speaker = item.client_id.replace('-', '')
      chapter = folder / speaker / '1'
      if speaker not in transcripts:
        chapter.mkdir(parents=True)
        transcripts[speaker] = stack.enter_context(
          open(chapter / f'{speaker}-1.trans.txt', 'w')
        )
      name = f'{speaker}-1-{item.utterance_id[-4:]}'
      soundfile.write(
        chapter / f'{name}.flac', item.audio, features.SAMPLE_RATE
      )
      print(name, item.text.upper(), file=transcripts[speaker])
