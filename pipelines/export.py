r"""Writes the model of a finished run in the format of TF Serving.

  ./bazelw run //pipelines:export -- --run_dir=RUN --export_dir=DIR

The first call writes `DIR/1`, the next call `DIR/2`. The server reads
`models.config` and `batching.config` beside these folders (docs/serving.md).
"""

import pathlib

from absl import flags

from pipelines import command_line, flag_kinds
from tff_asr import durable
from tff_asr.commands import export
from tff_asr.serving import tflite, transcriber

_RUN_DIR = flag_kinds.define_path(
  'run_dir', None, 'Folder of a finished run.', required=True
)
_EXPORT_DIR = flag_kinds.define_path(
  'export_dir',
  None,
  'Folder of all versions of the exported model; the command adds the next'
  ' version.',
  required=True,
)
_MODEL_NAME = flags.DEFINE_string(
  'model_name', 'asr', 'Name of the model in the server.'
)
_BEAM = flags.DEFINE_integer(
  'beam',
  16,
  'Width of the prefix beam search in the signature `beam`; 0 for no such'
  ' signature.',
  lower_bound=0,
)
_MAX_SECONDS = flags.DEFINE_float(
  'max_seconds',
  transcriber.MAX_SECONDS,
  'Length of the longest utterance that the model accepts, in seconds. Memory'
  ' grows with the square of the length.',
)
_TFLITE = flag_kinds.define_names(
  'tflite',
  [],
  tflite.KINDS,
  'Formats of additional models for phones (TensorFlow Lite): float16, int8 or'
  ' both.',
)


def main() -> str:
  """Exports the model and returns a list of the files."""
  with durable.writing(pathlib.Path(_EXPORT_DIR.value)):
    return export.export(
      pathlib.Path(_RUN_DIR.value),
      pathlib.Path(_EXPORT_DIR.value),
      _MODEL_NAME.value,
      _BEAM.value,
      _MAX_SECONDS.value,
      _TFLITE.value,
    )


if __name__ == '__main__':
  command_line.run(main)
