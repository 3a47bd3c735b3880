"""What every reader of a corpus yields."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from tff_asr.audio import features
from tff_asr.text import vocabulary


@dataclasses.dataclass(frozen=True)
class Utterance:
  """One utterance of one speaker.

  Attributes:
    client_id: The speaker.
    utterance_id: Its name in the corpus, unique there.
    audio: int16 `[samples]`, 16 kHz.
    text: What was said, normalised.
  """

  client_id: str
  utterance_id: str
  audio: np.ndarray
  text: str

  @property
  def seconds(self) -> float:
    """Length of the audio in seconds."""
    return len(self.audio) / features.SAMPLE_RATE


@dataclasses.dataclass(frozen=True)
class Skipped:
  """An utterance that cannot be used, and why.

  Attributes:
    client_id: The speaker.
    utterance_id: Its name in the corpus.
    reason: A few words, the same for all cases of a kind: they are counted.
    detail: What is particular to this one.
  """

  client_id: str
  utterance_id: str
  reason: str
  detail: str = ''


def check(
  utterance: Utterance,
  characters: vocabulary.CharacterVocabulary,
  max_seconds: float,
) -> Utterance | Skipped:
  """Returns the utterance if a model can be trained on it, else why not."""

  def skipped(reason: str, detail: str = '') -> Skipped:
    return Skipped(utterance.client_id, utterance.utterance_id, reason, detail)

  # TFF writes the name into an SQL text without quoting it.
  if "'" in utterance.client_id:
    return skipped('apostrophe in the speaker name', utterance.client_id)
  if not (utterance.client_id + utterance.utterance_id).isprintable():
    return skipped('unprintable name')
  if not utterance.text:
    return skipped('empty transcript')
  try:
    tokens: Sequence[int] = characters.encode(utterance.text)
  except vocabulary.OutOfVocabularyError as error:
    return skipped('characters outside the alphabet', str(error))
  if not len(utterance.audio):
    return skipped('empty audio')
  if utterance.seconds > max_seconds:
    return skipped('too long', f'{utterance.seconds:.1f} s')
  frames = features.num_frames(len(utterance.audio)) // features.OUTPUT_STRIDE
  needed = vocabulary.ctc_frames(tokens)
  if frames < needed:
    return skipped(
      'transcript longer than its frames',
      f'{frames} frames of 30 ms, {needed} needed',
    )
  return utterance
