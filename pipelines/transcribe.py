r"""Transcribes audio files with an exported model, here or in a server.

  ./bazelw run //pipelines:transcribe -- --export_dir=DIR FILE [FILE ...]
  ./bazelw run //pipelines:transcribe -- --server=localhost:8500 FILE [FILE ...]

Files may be WAV, FLAC, OGG or MP3 of any rate and number of channels.
"""

from collections.abc import Sequence
import pathlib

from absl import flags

from pipelines import command_line, flag_kinds
from tff_asr import errors
from tff_asr.commands import transcribe
from tff_asr.serving import client

_EXPORT_DIR = flag_kinds.define_path(
  'export_dir', None, 'Folder of an exported model, which this command loads.'
)
_SERVER = flags.DEFINE_string(
  'server', None, 'Address (host:port) of TF Serving over gRPC.'
)
_MODEL_NAME = flags.DEFINE_string(
  'model_name', 'asr', 'Name of the model in the server.'
)
_MODEL_VERSION = flags.DEFINE_integer(
  'model_version',
  0,
  'Version of the model; 0 for the latest version.',
  lower_bound=0,
)
_TIMEOUT_SECONDS = flags.DEFINE_float(
  'timeout_seconds', 60.0, 'Seconds to wait for an answer of the server.'
)
_JSON = flags.DEFINE_bool(
  'json',
  False,
  'Print a JSON object for each file, with the times of the tokens.',
)


def main(files: Sequence[str]) -> None:
  """Prints each transcript as soon as it is known."""
  transcribe.transcribe(
    _client(), [command_line.path(file) for file in files], as_json=_JSON.value
  )


def _client() -> client.Client:
  if bool(_EXPORT_DIR.value) == bool(_SERVER.value):
    raise errors.UserError('Give one of --export_dir and --server.')
  version = _MODEL_VERSION.value or None
  if _EXPORT_DIR.value:
    return client.LocalClient(pathlib.Path(_EXPORT_DIR.value), version)
  return client.ServerClient(
    _SERVER.value, _MODEL_NAME.value, version, _TIMEOUT_SECONDS.value
  )


if __name__ == '__main__':
  command_line.run(main, takes_arguments=True)
