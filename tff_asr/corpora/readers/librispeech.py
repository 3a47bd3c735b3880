"""Reader of corpora in LibriSpeech's layout.

`SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac` beside `SPEAKER-CHAPTER.trans.txt`,
whose lines are `SPEAKER-CHAPTER-NNNN TRANSCRIPT`.  A corpus is one subset
(`train-clean-100`) or several.  A speaker is a client.  If file names contain
more hyphens, the folders give the speaker.
"""

import codecs
from collections.abc import Iterator, Sequence
import os
import pathlib
import re

from tff_asr import errors
from tff_asr.corpora import utterance
from tff_asr.corpora.readers import registration, sources
from tff_asr.corpora.utterance import Recording, Skipped

_TRANSCRIPT = '.trans.txt'
_NUMBERS = re.compile(r'\d+-\d+')
_AUDIO = ('.flac', '.wav', '.mp3', '.ogg', '.opus')
# File systems and archives of macOS keep extra files beside the original files,
# under the same names.
_FORK = '._'
_FORK_FOLDERS = ('.AppleDouble', '__MACOSX')


class LibriSpeech(sources.Source):
  """One or several folders in LibriSpeech's layout, at any depth."""

  def __init__(self, folders: Sequence[pathlib.Path]):
    self._folders = folders
    self.description = ', '.join(map(str, folders))

  def items(self) -> Iterator[sources.Item]:
    """Yields every utterance, speaker by speaker; see `Source.items`.

    Audio without a transcript comes last.
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
          f'No *{_TRANSCRIPT} below {folder}: a corpus in LibriSpeech layout'
          f' has SPEAKER/CHAPTER/SPEAKER-CHAPTER{_TRANSCRIPT} beside the FLAC'
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
      f'There is no folder {folder}: give in `input_dir` the folder of a corpus'
      ' in LibriSpeech layout.'
    )
  unreadable: list[OSError] = []
  seen: set[str] = set()
  for parent, folders, files in os.walk(
    folder, onerror=unreadable.append, followlinks=True
  ):
    if (real := os.path.realpath(parent)) in seen:
      folders.clear()  # A link to a folder above it is an endless loop.
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
  """Returns the speaker of a chapter, `None` if the name is ambiguous.

  A file name of the form of LibriSpeech gives the speaker; otherwise the
  folders do.
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
) -> Iterator[sources.Item]:
  """Yields the utterances of a chapter; removes their files from `audio`."""
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


def _open(input_dir: Sequence[pathlib.Path]) -> LibriSpeech:
  if not input_dir:
    raise errors.UserError('Give `input_dir`, the folder of the corpus.')
  return LibriSpeech(input_dir)


READER = registration.Reader(
  'folders in LibriSpeech layout.',
  (
    registration.Setting(
      'input_dir',
      registration.Kind.PATHS,
      (),
      'one or several folders in LibriSpeech layout, separated by commas.',
    ),
  ),
  _open,
)
