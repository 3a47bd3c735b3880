"""Utterances of a corpus: recorded, decoded, or skipped with a reason.

A client is a person, so all spellings of a speaker's name have one form, see
`speaker_name`.
"""

import dataclasses
import pathlib
import unicodedata

import numpy as np

from tff_asr import errors
from tff_asr.audio import features
from tff_asr.text import vocabularies

# Feature frames for one output of the models that a store is prepared for.
STRIDE = 3

# Invisible characters outside of Unicode's class Cf.
_INVISIBLE = frozenset(
  map(
    chr,
    [
      *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5),
      *range(0x180B, 0x1810),
      *range(0xFE00, 0xFE10),
      *range(0xE0100, 0xE01F0),
    ],
  )
)
_APOSTROPHES = frozenset('\u2018\u2019\u201b\u02bc\u2032`\u00b4')


def speaker_name(written: str) -> str:
  """Returns the normal form of a speaker's name.

  The normal form is Unicode's NFKC with single spaces, one kind of hyphens and
  of apostrophes, and no invisible characters. Two forms of one name would be
  two clients, each with a guarantee for half of the person's utterances.
  """
  plain = []
  for character in unicodedata.normalize('NFKC', written):
    kind = unicodedata.category(character)
    if kind == 'Pd':
      plain.append('-')
    elif character in _APOSTROPHES:
      plain.append("'")
    elif kind != 'Cf' and character not in _INVISIBLE:
      plain.append(character)
  return ' '.join(unicodedata.normalize('NFKC', ''.join(plain)).split())


class _OfSpeaker:
  """A base class that brings `client_id` into the form of `speaker_name`.

  Raises:
    UserError: If a name is not a string.
  """

  def __post_init__(self):
    for name in ('client_id', 'utterance_id'):
      value = getattr(self, name)
      errors.require(
        isinstance(value, str),
        f'A corpus reader gave the {name} {value!r}, which must be a string.',
      )
    object.__setattr__(self, 'client_id', speaker_name(self.client_id))


@dataclasses.dataclass(frozen=True)
class Recording(_OfSpeaker):
  """An utterance of one speaker in a corpus, not decoded.

  Attributes:
    client_id: The speaker.
    utterance_id: Name in the corpus, unique among the speaker's utterances.
    path: Audio file.
    text: Transcript, as in the corpus.
  """

  client_id: str
  utterance_id: str
  path: pathlib.Path
  text: str


@dataclasses.dataclass(frozen=True)
class Utterance(_OfSpeaker):
  """An utterance of one speaker, decoded.

  Attributes:
    client_id: The speaker.
    utterance_id: Name in the corpus, unique among the speaker's utterances.
    audio: int16 `[samples]`, 16 kHz.
    text: Normalised transcript; words get single spaces between them.

  Raises:
    UserError: If a value has another type, or the audio another shape.
  """

  client_id: str
  utterance_id: str
  audio: np.ndarray
  text: str

  def __post_init__(self):
    super().__post_init__()
    where = f'A corpus reader gave utterance {self.utterance_id!r}'
    errors.require(
      isinstance(self.text, str), f'{where} the text {self.text!r}.'
    )
    object.__setattr__(self, 'text', ' '.join(self.text.split()))
    errors.require(
      isinstance(self.audio, np.ndarray)
      and self.audio.dtype == np.int16
      and self.audio.ndim == 1,
      f'{where} audio of type {_type_of(self.audio)}. Audio must be a NumPy'
      ' array of int16, [samples], one channel, 16 kHz. Multiply samples from'
      ' -1 to 1 by 32,767 first.',
    )

  @property
  def seconds(self) -> float:
    """Length of the audio in seconds."""
    return len(self.audio) / features.SAMPLE_RATE


def _type_of(audio: object) -> str:
  if isinstance(audio, np.ndarray):
    return f'{audio.dtype} and shape {audio.shape}'
  return type(audio).__name__


@dataclasses.dataclass(frozen=True)
class Skipped(_OfSpeaker):
  """An utterance that cannot be used, with the reason.

  Attributes:
    client_id: The speaker.
    utterance_id: Name in the corpus.
    reason: A few words, equal for equal reasons: a summary counts them.
    detail: Details of this utterance.
  """

  client_id: str
  utterance_id: str
  reason: str
  detail: str = ''


class UnusableError(ValueError):
  """An error of an utterance that cannot be trained on.

  Attributes:
    reason: The reason, see `Skipped`.
    detail: Details of the utterance, see `Skipped`.
  """

  def __init__(self, reason: str, detail: str = ''):
    super().__init__(f'{reason}: {detail}')
    self.reason = reason
    self.detail = detail


def tokens_of(
  utterance: Utterance,
  vocabulary: vocabularies.Vocabulary,
  max_seconds: float,
) -> list[int]:
  """Returns the tokens of an utterance, after all checks for training.

  Raises:
    UnusableError: If the utterance has no name, no text or no sound, if the
      vocabulary lacks a part of the text, if the audio is longer than
      `max_seconds`, or if CTC cannot emit the tokens in so few frames.
  """
  if not (utterance.client_id and utterance.utterance_id):
    raise UnusableError('no name')
  if not (utterance.client_id + utterance.utterance_id).isprintable():
    raise UnusableError('unprintable name')
  if not utterance.text:
    raise UnusableError('empty transcript')
  try:
    tokens = vocabulary.encode(utterance.text)
  except vocabularies.OutOfVocabularyError as error:
    raise UnusableError('outside the vocabulary', str(error)) from error
  if not len(utterance.audio):
    raise UnusableError('empty audio')
  if not np.ptp(utterance.audio):
    raise UnusableError('silent audio')
  if utterance.seconds > max_seconds:
    raise UnusableError('too long', f'{utterance.seconds:.1f} s')
  frames = features.num_frames(len(utterance.audio)) // STRIDE
  needed = vocabularies.ctc_frames(tokens)
  if frames < needed:
    raise UnusableError(
      'transcript longer than its frames',
      f'{frames} frames of 30 ms, {needed} needed',
    )
  return tokens
