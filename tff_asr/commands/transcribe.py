"""Transcribes audio files with an exported model."""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import json
import pathlib
import sys
from typing import Any

import numpy as np
import tqdm

from tff_asr import errors
from tff_asr.audio import decoding, features
from tff_asr.serving import client as client_lib

_BATCH = 8
_BATCH_SECONDS = 120.0  # With padding; a longer file is a batch alone.
_MAX_SECONDS = 3_600.0


_Sound = tuple[pathlib.Path, np.ndarray]


def transcribe(
  client: client_lib.Client,
  files: Sequence[pathlib.Path],
  as_json: bool = False,
) -> None:
  """Prints a line for each file, in the order of the files.

  Args:
    client: Client of the exported model.
    files: Audio files in any format that `decoding` reads.
    as_json: Whether a line is a JSON object with all fields of the transcript;
      otherwise the line is the file, a tab, and the text.

  Raises:
    UserError: If a file cannot be transcribed, after all other files are; if
      the model is not available, at once.
  """
  if not files:
    raise errors.UserError('Give one audio file or more.')
  faults = []
  with tqdm.tqdm(total=len(files), unit='file', disable=None) as bar:
    for batch in _batches(files, faults):
      found = client.transcribe([sound for _, sound in batch])
      for (path, _), transcript in zip(batch, found, strict=True):
        if transcript.error:
          faults.append(f'{path} ({transcript.error})')
          continue
        line = f'{path}\t{transcript.text}'
        if as_json:
          line = _json({'file': str(path), **dataclasses.asdict(transcript)})
        bar.write(line, file=sys.stdout)
      bar.update(len(batch))
  if faults:
    raise errors.UserError(
      f'{len(faults)} of {len(files)} files cannot be transcribed: '
      + ', '.join(faults)
    )


def _json(fields: Mapping[str, Any]) -> str:
  """Returns JSON; escapes characters that the terminal cannot write."""
  line = json.dumps(fields, ensure_ascii=False)
  try:
    line.encode(sys.stdout.encoding or 'ascii')
  except UnicodeEncodeError:
    return json.dumps(fields)
  return line


def _batches(
  files: Sequence[pathlib.Path], faults: list[str]
) -> Iterator[list[_Sound]]:
  """Decodes files and batches neighbours; adds unreadable files to `faults`."""
  batch: list[_Sound] = []
  for path in files:
    try:
      sound = decoding.decode(path.read_bytes(), _MAX_SECONDS)
    except OSError as error:
      faults.append(f'{path} ({error.strerror})')
      continue
    except decoding.TooLongError:
      faults.append(f'{path} (longer than {_MAX_SECONDS:g} s)')
      continue
    except decoding.AudioError as error:
      faults.append(f'{path} ({error})')
      continue
    longest = max(len(s) for _, s in [*batch, (path, sound)])
    size = (len(batch) + 1) * longest / features.SAMPLE_RATE
    if batch and (len(batch) == _BATCH or size > _BATCH_SECONDS):
      yield batch
      batch = []
    batch.append((path, sound))
  if batch:
    yield batch
