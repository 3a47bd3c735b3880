"""Measures speed on this machine.

bazel run //pipelines:benchmark -- --what=data
bazel run //pipelines:benchmark -- --what=model --model=paper
"""

from absl import flags

from pipelines import command_line
from tff_asr.models import presets
from tff_asr.programs import benchmark_data, benchmark_model

_WHAT = flags.DEFINE_enum(
  'what',
  'data',
  ['data', 'model'],
  'What is measured: preparing, reading and features (data); time to the first'
  ' step, and steps in each precision (model).',
)
_INPUT_DIR = flags.DEFINE_string(
  'input_dir',
  '',
  'Corpus in LibriSpeech layout to prepare; by default synthetic speakers'
  ' (data).',
)
_CLIENTS = flags.DEFINE_integer(
  'clients',
  35_000,
  'Size of the store in which clients are opened (data).',
  lower_bound=1,
)
_MODEL = flags.DEFINE_enum(
  'model', 'small', sorted(presets.PRESETS), 'Preset of the encoder (model).'
)
_BATCH_SECONDS = flags.DEFINE_float(
  'batch_seconds', 40.0, 'Seconds of audio in a batch (model).'
)


def main() -> str:
  """Measures and returns the table."""
  if _WHAT.value == 'model':
    return benchmark_model.run(_MODEL.value, _BATCH_SECONDS.value)
  input_dir = _INPUT_DIR.value
  return benchmark_data.run(
    command_line.path(input_dir) if input_dir else None, _CLIENTS.value
  )


if __name__ == '__main__':
  command_line.run(main)
