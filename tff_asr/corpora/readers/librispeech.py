"""Reader of corpora in LibriSpeech's layout.

`SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac` beside `SPEAKER-CHAPTER.trans.txt`,
whose lines are `SPEAKER-CHAPTER-NNNN TRANSCRIPT`; one subset
(`train-clean-100`) or several.  A speaker is a client.  Where names hold more
hyphens, folders tell the speaker.
"""

import codecs
from collections.abc import Iterator, Sequence
import os
import pathlib
import re

from tff_asr import errors
from tff_asr.corpora import utterance
from tff_asr.corpora.readers import source
from tff_asr.corpora.utterance import Recording, Skipped

_TRANSCRIPT = '.trans.txt'
_NUMBERS = re.compile(r'\d+-\d+')
_AUDIO = ('.flac', '.wav', '.mp3', '.ogg', '.opus')
# What systems keep beside the files of others, under the same names.
_FORK = '._'
_FORK_FOLDERS = ('.AppleDouble', '__MACOSX')


class LibriSpeech(source.Source):
  """One or several folders in LibriSpeech's layout, at any depth."""

  def __init__(self, folders: Sequence[pathlib.Path]):
    self._folders = folders
    self.description = ', '.join(map(str, folders))

  def items(self) -> Iterator[source.Item]:
    """Yields every utterance, speaker by speaker; see `Source.items`.

    Audio that no transcript names comes last.
    """
    transcripts: list[pathlib.Path] = []
    audio: dict[pathlib.Path, set[str]] = {}
    for folder in self._folders:
      found = []
      for item in _walk(folder):
        if isinstance(item, Skipped):
          yield item
        elif _is_transcript(item):
          found.append(item)
        else:
          audio.setdefault(item.parent, set()).add(item.name)
      if not found:
        raise errors.UserError(
          f'No *{_TRANSCRIPT} below {folder}: LibriSpeech layout is'
          f' SPEAKER/CHAPTER/SPEAKER-CHAPTER{_TRANSCRIPT} beside the FLAC'
          ' files.'
        )
      transcripts += found
    for path in sorted(transcripts, key=_order):
      yield from _chapter(path, audio.get(path.parent, set()))
    for parent in sorted(audio):
      for name in sorted(audio[parent]):
        yield Skipped('', str(parent / name), 'no transcript')


def _walk(folder: pathlib.Path) -> Iterator[pathlib.Path | Skipped]:
  """Yields transcripts and audio below a folder, also behind symbolic links."""
  if not folder.is_dir():
    raise errors.UserError(
      f'There is no folder {folder}: give --input_dir the folder of a corpus in'
      ' LibriSpeech layout.'
    )
  unreadable: list[OSError] = []
  seen: set[str] = set()
  for parent, folders, files in os.walk(
    folder, onerror=unreadable.append, followlinks=True
  ):
    if (real := os.path.realpath(parent)) in seen:
      folders.clear()  # A link to a folder above it has no end.
      continue
    seen.add(real)
    folders[:] = sorted(set(folders) - {*_FORK_FOLDERS})
    for path in (pathlib.Path(parent, name) for name in sorted(files)):
      is_part = _is_transcript(path) or path.suffix.lower() in _AUDIO
      if is_part and not path.name.startswith(_FORK):
        yield path
  for error in unreadable:
    yield Skipped(
      '', str(error.filename), 'folder unreadable', str(error.strerror)
    )


def _is_transcript(path: pathlib.Path) -> bool:
  return path.name.lower().endswith(_TRANSCRIPT)


def _order(transcript: pathlib.Path) -> tuple[str, str, pathlib.Path]:
  speaker = utterance.speaker_name(_speaker(transcript) or '')
  return speaker, transcript.name, transcript


def _speaker(transcript: pathlib.Path) -> str | None:
  """The speaker of a chapter, `None` if the name could be of several.

  A name as LibriSpeech has them says it, and else the folders do.
  """
  name, folder = _name(transcript), transcript.parent
  if name == f'{folder.parent.name}-{folder.name}':
    return folder.parent.name
  first = name.rpartition('-')[0]
  if first == folder.name or _NUMBERS.fullmatch(name):
    return first
  return None


def _name(transcript: pathlib.Path) -> str:
  return transcript.name[: -len(_TRANSCRIPT)]


def _chapter(
  transcript: pathlib.Path, audio: set[str]
) -> Iterator[source.Item]:
  """Yields the utterances of a chapter; takes them from the folder's audio."""
  speaker = _speaker(transcript)
  if speaker is None:
    yield Skipped(
      '',
      str(transcript),
      'speaker unclear',
      'it is not SPEAKER/CHAPTER/SPEAKER-CHAPTER',
    )
    return
  try:
    lines = transcript.read_bytes().removeprefix(codecs.BOM_UTF8).split(b'\n')
  except OSError as error:
    yield Skipped(
      speaker, transcript.name, 'transcripts unreadable', str(error.strerror)
    )
    return
  for number, line in enumerate(lines, start=1):
    try:
      utterance_id, *words = line.decode().split(None, 1)
    except UnicodeDecodeError:
      yield Skipped(speaker, f'{transcript.name}:{number}', 'not UTF-8')
      continue
    except ValueError:  # An empty line.
      continue
    path = transcript.parent / f'{utterance_id}.flac'
    audio.discard(path.name)
    yield Recording(speaker, utterance_id, path, ''.join(words).strip())
  prefix = f'{_name(transcript)}-'
  for name in sorted(n for n in audio if n.startswith(prefix)):
    audio.remove(name)
    yield Skipped(speaker, name, 'no transcript')
