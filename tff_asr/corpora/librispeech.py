"""Reader of corpora in LibriSpeech's layout.

`SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac` beside `SPEAKER-CHAPTER.trans.txt`,
whose lines are `SPEAKER-CHAPTER-NNNN TRANSCRIPT`; one subset
(`train-clean-100`) or several.  A speaker is a client.
"""

from collections.abc import Iterator, Sequence
import os
import pathlib

from tff_asr import errors
from tff_asr.corpora import source
from tff_asr.corpora.utterance import Recording, Skipped

_TRANSCRIPT = '.trans.txt'


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
    for path in sorted(transcripts, key=lambda p: (_speaker(p), p.name, p)):
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
    folders.sort()
    for name in sorted(files):
      if name.endswith(_TRANSCRIPT):
        yield pathlib.Path(parent, name)
  for error in unreadable:
    yield Skipped(
      '', str(error.filename), 'folder unreadable', str(error.strerror)
    )


def _speaker(transcript: pathlib.Path) -> str:
  return transcript.name.split('-')[0].removesuffix(_TRANSCRIPT)


def _chapter(transcript: pathlib.Path) -> Iterator[source.Item]:
  speaker = _speaker(transcript)
  try:
    text = transcript.read_bytes().decode('utf-8-sig', 'replace')
  except OSError as error:
    yield Skipped(
      speaker, transcript.name, 'transcripts unreadable', str(error.strerror)
    )
    return
  named = set()
  for line in filter(str.strip, text.split('\n')):
    utterance_id, _, words = line.strip().partition(' ')
    named.add(utterance_id)
    audio = transcript.parent / f'{utterance_id}.flac'
    yield Recording(speaker, utterance_id, audio, words)
  prefix = transcript.name.removesuffix(_TRANSCRIPT) + '-'
  for audio in sorted(transcript.parent.glob('*.flac')):
    if audio.stem not in named and audio.stem.startswith(prefix):
      yield Skipped(speaker, audio.stem, 'no transcript')
