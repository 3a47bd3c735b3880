"""Reads a corpus into a client store, or makes one of synthetic speakers.

bazel run //pipelines:prepare -- --source=librispeech \
      --input_dir=LibriSpeech/train-clean-100 --output=stores/clean-100
bazel run //pipelines:prepare -- --source=synthetic --clients=64 \
      --output=stores/synthetic
"""

from absl import flags

from pipelines import command_line
from tff_asr import errors
from tff_asr.corpora.synthetic import corpus as synthetic
from tff_asr.programs import prepare

_SOURCE = flags.DEFINE_enum(
  'source', 'librispeech', ['librispeech', 'synthetic'], 'What is read.'
)
_INPUT_DIR = flags.DEFINE_string(
  'input_dir', '', 'Folder of the corpus (librispeech).'
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'Folder of the store; must not exist.', required=True
)
_MAX_SECONDS = flags.DEFINE_float(
  'max_seconds', 30.0, 'Utterances of more seconds are left out (librispeech).'
)
_CLIENTS = flags.DEFINE_integer(
  'clients', 64, 'Number of speakers (synthetic).'
)
_SEED = flags.DEFINE_integer(
  'seed', 0, 'Seed of all that is drawn (synthetic).', lower_bound=0
)


def main() -> str:
  """Makes the store and returns what went into it."""
  output = command_line.path(_OUTPUT.value)
  if _SOURCE.value == 'synthetic':
    config = synthetic.SyntheticConfig(_CLIENTS.value, _SEED.value)
    return prepare.from_synthetic(config, output)
  if not _INPUT_DIR.value:
    raise errors.UserError(
      'Give --input_dir, the folder of a corpus in LibriSpeech layout.'
    )
  return prepare.from_librispeech(
    command_line.path(_INPUT_DIR.value), output, _MAX_SECONDS.value
  )


if __name__ == '__main__':
  command_line.run(main)
