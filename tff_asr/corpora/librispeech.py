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

from tff_asr import errors
from tff_asr.corpora import source, utterance
from tff_asr.corpora.utterance import Recording, Skipped

_TRANSCRIPT = '.trans.txt'
# What systems keep beside the files of others, under the same names.
_FORK = '._'
_FORK_FOLDERS = ('.AppleDouble', '__MACOSX')


class LibriSpeech(source.Source):
  """One or several folders in LibriSpeech's layout, at any depth."""

  def __init__(self, folders: Sequence[pathlib.Path]):
    self._folders = folders
    self.description = ', '.join(map(str, folders))

  def items(self) -> Iterator[source.Item]:
    """Yields every utterance, speaker by speaker; see `Source.items`."""
    transcripts: list[pathlib.Path] = []
    for folder in self._folders:
      found = []
      for item in _walk(folder):
        if isinstance(item, Skipped):
          yield item
        else:
          found.append(item)
      if not found:
        raise errors.UserError(
          f'No *{_TRANSCRIPT} below {folder}: LibriSpeech layout is'
          f' SPEAKER/CHAPTER/SPEAKER-CHAPTER{_TRANSCRIPT} beside the FLAC'
          ' files.'
        )
      transcripts += found
    for path in sorted(transcripts, key=_order):
      yield from _chapter(path)


def _walk(folder: pathlib.Path) -> Iterator[pathlib.Path | Skipped]:
  """Yields the transcripts below a folder, also behind symbolic links."""
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
    for name in sorted(files):
      if name.endswith(_TRANSCRIPT) and not name.startswith(_FORK):
        yield pathlib.Path(parent, name)
  for error in unreadable:
    yield Skipped(
      '', str(error.filename), 'folder unreadable', str(error.strerror)
    )


def _order(transcript: pathlib.Path) -> tuple[str, str, pathlib.Path]:
  speaker = utterance.speaker_name(_speaker(transcript) or '')
  return speaker, transcript.name, transcript


def _speaker(transcript: pathlib.Path) -> str | None:
  """The speaker of a chapter, `None` if the name could be of several."""
  name = transcript.name.removesuffix(_TRANSCRIPT)
  folder = transcript.parent
  if name == f'{folder.parent.name}-{folder.name}':
    return folder.parent.name
  first = name.rpartition('-')[0] or name
  return first if '-' not in first or first == folder.name else None


def _chapter(transcript: pathlib.Path) -> Iterator[source.Item]:
  speaker = _speaker(transcript)
  if speaker is None:
    yield Skipped(
      '',
      str(transcript),
      'speaker unclear',
      'more than one hyphen, and not in SPEAKER/CHAPTER/',
    )
    return
  try:
    lines = transcript.read_bytes().removeprefix(codecs.BOM_UTF8).split(b'\n')
  except OSError as error:
    yield Skipped(
      speaker, transcript.name, 'transcripts unreadable', str(error.strerror)
    )
    return
  named = set()
  for number, line in enumerate(lines, start=1):
    try:
      utterance_id, *words = line.decode().split(None, 1)
    except UnicodeDecodeError:
      yield Skipped(speaker, f'{transcript.name}:{number}', 'not UTF-8')
      continue
    except ValueError:  # An empty line.
      continue
    named.add(utterance_id)
    audio = transcript.parent / f'{utterance_id}.flac'
    yield Recording(speaker, utterance_id, audio, ''.join(words).strip())
  prefix = transcript.name.removesuffix(_TRANSCRIPT) + '-'
  for audio in sorted(transcript.parent.glob('*.flac')):
    if audio.stem not in named and audio.stem.startswith(prefix):
      yield Skipped(speaker, audio.stem, 'no transcript')
