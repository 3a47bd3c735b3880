r"""Measures speed on this machine.

Examples:
  ./bazelw run //pipelines:benchmark -- --what=data
  ./bazelw run //pipelines:benchmark -- --what=model --model=paper
  ./bazelw run //pipelines:benchmark -- --what=rounds --input_dir=AN4/train
  ./bazelw run //pipelines:benchmark -- --what=rounds --parts=small \
      --peer_python=VENV/bin/python
  ./bazelw run //pipelines:benchmark -- --what=serving --run_dir=RUN \
      --input_dir=AN4/test
  ./bazelw run //pipelines:benchmark -- --what=hostile --model=small
"""

import pathlib

from absl import flags

from pipelines import command_line, flag_kinds
from tff_asr.benchmarks import data, hostile, model, rounds, serving
from tff_asr.models import presets

_WHAT = flags.DEFINE_enum(
  'what',
  'data',
  ['data', 'model', 'rounds', 'serving', 'hostile'],
  'Subject of the measurement: preparing a corpus, reading, and features'
  ' (data); time to the first step, and steps in each precision (model);'
  " federated rounds beside a plain training loop and TFF's own runtime, and"
  ' their memory (rounds); an exported model beside the model itself (serving);'
  ' the cost of hostile requests beside normal requests of the same size'
  ' (hostile).',
)
_INPUT_DIR = flag_kinds.define_path(
  'input_dir',
  '',
  'Folder of a corpus in LibriSpeech layout (data, rounds, serving). By default'
  ' synthetic speakers.',
)
_CLIENTS = flags.DEFINE_integer(
  'clients',
  35_000,
  'Number of clients in the store that is opened (data).',
  lower_bound=1,
)
_MODEL = flags.DEFINE_enum(
  'model',
  'small',
  sorted(presets.PRESETS),
  'Preset of the encoder (model, rounds; serving and hostile without'
  ' --run_dir).',
)
_BATCH_SECONDS = flags.DEFINE_float(
  'batch_seconds', 40.0, 'Seconds of audio in a batch (model).'
)
_RUN_DIR = flag_kinds.define_path(
  'run_dir', '', 'Folder of a run or of a model (serving, hostile).'
)
_PARTS = flag_kinds.define_names(
  'parts',
  list(rounds.PARTS),
  rounds.PARTS,
  'Parts of the measurement rounds: speed, memory, start (time up to the first'
  ' round), devices (two parts of the processor against one), long (memory of a'
  ' run of 300 rounds), small (small clients), store (a store of 12,800 small'
  ' clients), thousands (memory of a cohort of 4,096), growth (time of a round'
  ' after 2,000 rounds), paper (the model of the paper, 12 GB of memory).',
)
_PEER_PYTHON = flag_kinds.define_path(
  'peer_python',
  '',
  'Python of an environment with numpy, torch and pfl 0.6, such as'
  ' VENV/bin/python. The part small then measures pfl-research, too.',
)


def main() -> str:
  """Measures and returns the table."""
  if _WHAT.value == 'model':
    return model.run(_MODEL.value, _BATCH_SECONDS.value)
  input_dir = pathlib.Path(_INPUT_DIR.value) if _INPUT_DIR.value else None
  run_dir = pathlib.Path(_RUN_DIR.value) if _RUN_DIR.value else None
  if _WHAT.value == 'serving':
    return serving.run(run_dir, input_dir, _MODEL.value)
  if _WHAT.value == 'hostile':
    return hostile.run(run_dir, _MODEL.value)
  if _WHAT.value == 'rounds':
    peer = pathlib.Path(_PEER_PYTHON.value) if _PEER_PYTHON.value else None
    return rounds.run(input_dir, _MODEL.value, _PARTS.value, peer)
  return data.run(input_dir, _CLIENTS.value)


if __name__ == '__main__':
  command_line.run(main)
