"""Transcribes audio files by an exported model."""

from collections.abc import Sequence
import dataclasses
import json
import pathlib
import sys

import tqdm

from tff_asr import errors
from tff_asr.audio import decoding
from tff_asr.serving import client as client_lib

_BATCH = 8


def transcribe(
  client: client_lib.Client,
  files: Sequence[pathlib.Path],
  batch: int = _BATCH,
  as_json: bool = False,
) -> None:
  """Prints a line for each file, in their order.

  Args:
    client: What transcribes.
    files: Audio of any kind that `decoding` reads.
    batch: How many are handed over at once.
    as_json: Whether a line is an object with all that is known; else it is the
      file, a tab, and the text.

  Raises:
    UserError: After all others were transcribed, if a file cannot be; at once
      if the model cannot be had.
  """
  if not files:
    raise errors.UserError('Give one audio file or more.')
  faults = []
  with tqdm.tqdm(total=len(files), unit='file', disable=None) as bar:
    for start in range(0, len(files), batch):
      paths, sounds = [], []
      for path in files[start : start + batch]:
        try:
          sounds.append(decoding.decode(path.read_bytes()))
          paths.append(path)
        except OSError as error:
          faults.append(f'{path} ({error.strerror})')
        except decoding.AudioError as error:
          faults.append(f'{path} ({error})')
      found = client.transcribe(sounds) if sounds else []
      for path, transcript in zip(paths, found, strict=True):
        if transcript.error:
          faults.append(f'{path} ({transcript.error})')
          continue
        line = f'{path}\t{transcript.text}'
        if as_json:
          line = json.dumps(
            {'file': str(path), **dataclasses.asdict(transcript)},
            ensure_ascii=False,
          )
        bar.write(line, file=sys.stdout)
      bar.update(len(files[start : start + batch]))
  if faults:
    raise errors.UserError(
      f'{len(faults)} of {len(files)} files cannot be transcribed: '
      + ', '.join(faults)
    )
