"""Reader of corpora in LibriSpeech's layout.

`SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac` beside `SPEAKER-CHAPTER.trans.txt`,
whose lines are `SPEAKER-CHAPTER-NNNN TRANSCRIPT`; one subset
(`train-clean-100`) or several in one folder.  A speaker is a client.
"""

from collections.abc import Iterator
from concurrent import futures
import functools
import os
import pathlib

from tff_asr import errors
from tff_asr.audio import flac
from tff_asr.corpora import utterance
from tff_asr.text import vocabulary


def count(input_dir: pathlib.Path) -> int:
  """Number of transcribed utterances in the folder.

  Raises:
    UserError: If the folder is missing or has no transcripts.
  """
  return sum(len(_lines(path)) for path in _transcripts(input_dir))


def read(
  input_dir: pathlib.Path,
) -> Iterator[utterance.Utterance | utterance.Skipped]:
  """Yields every utterance, speaker by speaker.

  Files are decoded by as many threads as there are cores.  What cannot be
  read, and audio without a transcript, is yielded as `Skipped`.

  Raises:
    UserError: If the folder is missing or has no transcripts.
  """
  transcripts = _transcripts(input_dir)
  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for path in transcripts:
      speaker = path.name.split('-')[0]
      lines = _lines(path)
      yield from pool.map(functools.partial(_read_one, path, speaker), lines)
      named = {line.split(maxsplit=1)[0] for line in lines}
      for audio in sorted(path.parent.glob('*.flac')):
        if audio.stem not in named and audio.stem.startswith(
          path.name.removesuffix('.trans.txt') + '-'
        ):
          yield utterance.Skipped(speaker, audio.stem, 'no transcript')


def _transcripts(input_dir: pathlib.Path) -> list[pathlib.Path]:
  if not input_dir.is_dir():
    raise errors.UserError(
      f'There is no folder {input_dir}: give --input_dir the folder of a'
      ' corpus in LibriSpeech layout.'
    )
  found = sorted(
    input_dir.rglob('*.trans.txt'), key=lambda p: (p.name.split('-')[0], p.name)
  )
  if not found:
    raise errors.UserError(
      f'No *.trans.txt below {input_dir}: LibriSpeech layout is'
      ' SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt beside the FLAC files.'
    )
  return found


def _lines(path: pathlib.Path) -> list[str]:
  text = path.read_text(encoding='utf-8-sig', errors='replace')
  return [line for line in text.splitlines() if line.strip()]


def _read_one(
  transcript: pathlib.Path, speaker: str, line: str
) -> utterance.Utterance | utterance.Skipped:
  utterance_id, _, text = line.strip().partition(' ')
  try:
    contents = (transcript.parent / f'{utterance_id}.flac').read_bytes()
    audio = flac.decode(contents)
  except FileNotFoundError:
    return utterance.Skipped(speaker, utterance_id, 'audio file missing')
  except OSError as error:
    return utterance.Skipped(
      speaker, utterance_id, 'audio file unreadable', str(error.strerror)
    )
  except ValueError as error:  # An AudioError, or a name that is no path.
    return utterance.Skipped(speaker, utterance_id, 'corrupt audio', str(error))
  return utterance.Utterance(
    speaker, utterance_id, audio, vocabulary.normalise(text)
  )
