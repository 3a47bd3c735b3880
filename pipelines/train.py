r"""Trains a speech model by differentially private federated learning.

With no flags: 4,000 synthetic speakers, a small seed model from other speakers,
private federated rounds, and a table of the result with its guarantee.

  ./bazelw run //pipelines:train
  ./bazelw run //pipelines:train -- \
      --flagfile=configs/small/an4_federated.flags \
      --train_store=STORE --eval_store=STORE --output_dir=RUN
"""

from collections.abc import Mapping
import contextlib
import datetime
import itertools
import pathlib
import re
import sys
from typing import Any

from absl import flags

from pipelines import (
  command_line,
  default_run,
  execution_flags,
  federated_flags,
  flag_kinds,
  page_flags,
  privacy_flags,
  seed_flags,
)
from tff_asr import durable, errors
from tff_asr.commands import train
from tff_asr.models import precision, presets
from tff_asr.programs import release_managers
from tff_asr.runs import folders

_TRAIN_STORE = flag_kinds.define_path(
  'train_store',
  '',
  f'Client store to train on. By default {default_run.SPEAKERS:,} synthetic'
  ' speakers: the seed speakers and the clients. Other flags then have the'
  f' defaults {default_run.in_words()}. Required with --seed_model.',
)
_EVAL_STORE = flag_kinds.define_path(
  'eval_store',
  '',
  'Client store of held-out speakers, for evaluation. By default synthetic'
  ' speakers.',
)
_OUTPUT_DIR = flag_kinds.define_path(
  'output_dir',
  '',
  'Folder of the run. A run that this folder holds is resumed. By default a new'
  ' folder below `runs`.',
)
_MODEL = flags.DEFINE_enum(
  'model', 'tiny', sorted(presets.PRESETS), 'Preset of the encoder.'
)
_DROPOUT = flags.DEFINE_float(
  'dropout',
  None,
  'Dropout rate in training, for the seed model and on clients. By default the'
  ' rate recorded in --seed_model, or the rate of the preset --model.',
  lower_bound=0.0,
  upper_bound=0.99,
)
_LAYER_DROP = flags.DEFINE_float(
  'layer_drop',
  None,
  'Probability that training leaves out a block of the encoder (LayerDrop). The'
  ' default is recorded in --seed_model, or set by the preset --model.',
  lower_bound=0.0,
  upper_bound=0.99,
)
_PRECISION = flags.DEFINE_enum(
  'precision',
  precision.FLOAT32,
  precision.NAMES,
  'Number format of the computations in training. Weights, loss and updates are'
  ' float32 in any case.',
)
_ROUNDS = flags.DEFINE_integer(
  'rounds', 40, 'Total number of federated rounds.', lower_bound=0
)
_EVALUATE_EVERY = flags.DEFINE_integer(
  'evaluate_every', 10, 'Number of rounds between evaluations.', lower_bound=1
)
_EVALUATE_CLIENTS = flags.DEFINE_integer(
  'evaluate_clients',
  0,
  'Number of held-out speakers in each evaluation between rounds, the same'
  ' speakers every time; 0 for all. After the last round all speakers are'
  ' evaluated.',
  lower_bound=0,
)
_LOG_JSON = flags.DEFINE_boolean(
  'log_json',
  False,
  'Write one line of JSON for each round to standard output, and all other'
  ' output to standard error.',
)
_CHECKPOINT_EVERY = flags.DEFINE_integer(
  'checkpoint_every',
  1,
  'Number of rounds between checkpoints. A private run that is killed repeats'
  ' the rounds since the last checkpoint, and spends their epsilon again.',
  lower_bound=1,
)
_KEEP_CHECKPOINTS = flags.DEFINE_integer(
  'keep_checkpoints',
  2,
  'Number of latest checkpoints to keep. The checkpoint with the lowest WER is'
  ' kept too.',
  lower_bound=1,
)
_SEED = flags.DEFINE_integer(
  'seed',
  0,
  'Seed of the initial weights, of the choice of seed speakers, and of'
  ' synthetic corpora. Noise and cohorts never depend on this seed.',
  lower_bound=0,
  upper_bound=2**31 - 1,
)

for _module in (
  *(execution_flags, federated_flags, page_flags),
  *(privacy_flags, seed_flags),
):
  flags.adopt_module_key_flags(_module)


def main() -> str:
  """Starts or resumes the run and returns its result."""
  log = release_managers.JsonLog(sys.stdout) if _LOG_JSON.value else None
  with contextlib.redirect_stdout(sys.stderr if log else sys.stdout):
    _check_not_moved()
    values = resolved()
    in_force, run = command_line.flags_in_force(values), config(values)
    with durable.writing(run.output_dir):
      table = train.train(run, in_force, log)
    if log:
      print(table)
  return '' if log else table


def _check_not_moved() -> None:
  """Refuses the recorded flags of a run that was moved to another folder.

  The flags would start the run again in the old place, on the same clients.
  """
  if any(re.match('--?output_dir(=|$)', a) for a in sys.argv):
    return
  for before, argument in itertools.pairwise(sys.argv):
    if re.match('--?flagfile=', argument):
      file = command_line.path(argument.partition('=')[2])
    elif re.fullmatch('--?flagfile', before):
      file = command_line.path(argument)
    else:
      continue
    folder = file.parent
    errors.require(
      not folders.is_run(folder, file) or str(folder) == _OUTPUT_DIR.value,
      f'The run in {folder} was started as {_OUTPUT_DIR.value}: move it back to'
      ' resume it, or give another --output_dir to repeat it.',
    )


def resolved() -> dict[str, Any]:
  """Returns the values of flags whose default depends on other flags.

  Makes the stores of synthetic speakers that stand in for missing stores.

  Raises:
    UserError: If the flags contradict each other, or a file that they name
      cannot be read.
  """
  values: dict[str, Any] = {
    'rounds': _ROUNDS.value,
    **seed_flags.resolved(),
    **federated_flags.resolved(),
    **privacy_flags.resolved(),
  }
  if not _TRAIN_STORE.value:
    values |= default_run.values()
  train_store, eval_store = _TRAIN_STORE.value, _EVAL_STORE.value
  output_dir = _OUTPUT_DIR.value
  if not train_store:
    errors.require(
      not flags.FLAGS.seed_model,
      'Give --train_store with --seed_model: without it new synthetic speakers'
      ' are made, some of them those on whom that model was trained. flags.txt'
      ' of its run has its store.',
    )
    train_store = default_run.train_store(_SEED.value)
  if not eval_store:
    eval_store = default_run.eval_store(_SEED.value)
  if not output_dir:
    now = datetime.datetime.now()
    name = f'runs/{now:%Y%m%d-%H%M%S}'
    output_dir = str(command_line.path(name))
  return values | {
    'train_store': train_store,
    'eval_store': eval_store,
    'output_dir': output_dir,
  }


def config(values: Mapping[str, Any]) -> train.TrainConfig:
  """Returns the run that the flags describe.

  Args:
    values: The result of `resolved`.

  Raises:
    UserError: If the flags contradict each other.
  """
  seed_model = flags.FLAGS.seed_model
  return train.TrainConfig(
    train_store=pathlib.Path(values['train_store']),
    eval_store=pathlib.Path(values['eval_store']),
    output_dir=pathlib.Path(values['output_dir']),
    model=_MODEL.value,
    regularisation=_regularisation(),
    precision=_PRECISION.value,
    seed_model=pathlib.Path(seed_model) if seed_model else None,
    seed_clients=values['seed_clients'],
    central=seed_flags.config(values),
    rounds=values['rounds'],
    batches=federated_flags.batches(values),
    federated=federated_flags.config(),
    privacy=privacy_flags.config(values),
    evaluate_every=_EVALUATE_EVERY.value,
    evaluate_clients=_EVALUATE_CLIENTS.value,
    checkpoint_every=_CHECKPOINT_EVERY.value,
    keep_checkpoints=_KEEP_CHECKPOINTS.value,
    execution=execution_flags.config(),
    seed=_SEED.value,
    private_details=page_flags.PRIVATE_DETAILS.value,
  )


def _regularisation() -> dict[str, float]:
  rates = {'dropout': _DROPOUT.value, 'layer_drop': _LAYER_DROP.value}
  return {name: rate for name, rate in rates.items() if rate is not None}


if __name__ == '__main__':
  # A run of hours does not end with whoever reads its output.
  command_line.run(main, outlives_reader=True)
