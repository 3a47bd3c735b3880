"""Trains a speech model by differentially private federated learning.

With no flags: 64 synthetic speakers, a small seed model from other speakers,
federated rounds with per-layer clipping and noise, and a table of the result.

  bazel run //pipelines:train
  bazel run //pipelines:train -- --flagfile=configs/small/an4_federated.flags \
      --train_store=STORE --eval_store=STORE --output_dir=RUN
"""

import contextlib
import datetime
import itertools
import pathlib
import re
import sys

from absl import flags

from pipelines import (
  command_line,
  execution_flags,
  federated_flags,
  flag_kinds,
  page_flags,
  privacy_flags,
  seed_flags,
)
from tff_asr import durable, errors
from tff_asr.commands import prepare, train
from tff_asr.corpora.readers.synthetic import synthetic_corpus
from tff_asr.models import precision, presets
from tff_asr.programs import json_log
from tff_asr.runs import folders

_TRAIN_STORE = flag_kinds.define_path(
  'train_store',
  '',
  'Client store to train on; by default synthetic speakers, 64 of them and the'
  ' seed speakers. Needed with --seed_model.',
)
_EVAL_STORE = flag_kinds.define_path(
  'eval_store',
  '',
  'Client store of held-out speakers; by default synthetic ones.',
)
_OUTPUT_DIR = flag_kinds.define_path(
  'output_dir',
  '',
  'Folder of the run; called again with it, the run goes on. By default a new'
  ' one below `runs`.',
)
_MODEL = flags.DEFINE_enum(
  'model', 'tiny', sorted(presets.PRESETS), 'Preset of the encoder.'
)
_DROPOUT = flags.DEFINE_float(
  'dropout',
  None,
  'Rate of dropout in training, of the seed and on clients; by default that of'
  ' --model, or what the model of --seed_model was trained with.',
  lower_bound=0.0,
  upper_bound=0.99,
)
_LAYER_DROP = flags.DEFINE_float(
  'layer_drop',
  None,
  'Probability with which a block is left out in training; the same default.',
  lower_bound=0.0,
  upper_bound=0.99,
)
_PRECISION = flags.DEFINE_enum(
  'precision',
  precision.FLOAT32,
  precision.NAMES,
  'What training computes in; weights, loss and updates stay float32.',
)
_ROUNDS = flags.DEFINE_integer(
  'rounds', 40, 'Federated rounds in all.', lower_bound=0
)
_EVALUATE_EVERY = flags.DEFINE_integer(
  'evaluate_every', 10, 'Rounds between evaluations.', lower_bound=1
)
_EVALUATE_CLIENTS = flags.DEFINE_integer(
  'evaluate_clients',
  0,
  'Held-out speakers of an evaluation between rounds, always the same; 0 for'
  ' all. After the last round all are evaluated.',
  lower_bound=0,
)
_LOG_JSON = flags.DEFINE_boolean(
  'log_json',
  False,
  'Write lines of JSON to standard output, one for each round, and all else to'
  ' standard error.',
)
_CHECKPOINT_EVERY = flags.DEFINE_integer(
  'checkpoint_every',
  1,
  'Rounds between checkpoints. A private run that is killed repeats the rounds'
  ' since the last one, and pays for them again.',
  lower_bound=1,
)
_KEEP_CHECKPOINTS = flags.DEFINE_integer(
  'keep_checkpoints',
  2,
  'Number of checkpoints to keep; that of the lowest WER is kept besides.',
  lower_bound=1,
)
_SEED = flags.DEFINE_integer(
  'seed',
  0,
  'Of initial weights, seed speakers and synthetic corpora; never of noise or'
  ' cohorts.',
  lower_bound=0,
  upper_bound=2**31 - 1,
)

for _module in (
  *(execution_flags, federated_flags, page_flags),
  *(privacy_flags, seed_flags),
):
  flags.adopt_module_key_flags(_module)

_DEFAULT_CLIENTS = 64
_DEFAULT_EVAL_CLIENTS = 12


def main() -> str:
  """Runs or goes on with the run and returns its result."""
  log = json_log.JsonLog(sys.stdout) if _LOG_JSON.value else None
  with contextlib.redirect_stdout(sys.stderr if log else sys.stdout):
    _check_not_moved()
    set_defaults()
    in_force, run = command_line.flags_in_force(), config()
    with durable.writing(run.output_dir):
      table = train.train(run, in_force, log)
    if log:
      print(table)
  return '' if log else table


def _check_not_moved() -> None:
  """Refuses the flags of a run that lies elsewhere than they say.

  They would begin it anew in the old place, on the same clients.
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
      f'The run in {folder} was begun as {_OUTPUT_DIR.value}: move it back to'
      ' go on with it, or give another --output_dir to repeat it.',
    )


def set_defaults() -> None:
  """Makes what is not given: synthetic speakers, a folder, a level of noise."""
  seed_flags.set_defaults()
  if not _TRAIN_STORE.value:
    errors.require(
      not flags.FLAGS.seed_model,
      'Give --train_store with --seed_model: without it new synthetic speakers'
      ' are made, some of them those on whom that model was trained. flags.txt'
      ' of its run has its store.',
    )
    clients = _DEFAULT_CLIENTS + max(flags.FLAGS.seed_clients, 0)
    flags.FLAGS.train_store = _synthetic_store(clients, held_out_voices=False)
  if not _EVAL_STORE.value:
    flags.FLAGS.eval_store = _synthetic_store(
      _DEFAULT_EVAL_CLIENTS, held_out_voices=True
    )
  if not _OUTPUT_DIR.value:
    now = datetime.datetime.now()
    name = f'runs/{now:%Y%m%d-%H%M%S}'
    flags.FLAGS.output_dir = str(command_line.path(name))
  federated_flags.set_defaults()
  privacy_flags.set_defaults()


def config() -> train.TrainConfig:
  """Returns the run that the flags describe."""
  seed_model = flags.FLAGS.seed_model
  return train.TrainConfig(
    train_store=pathlib.Path(_TRAIN_STORE.value),
    eval_store=pathlib.Path(_EVAL_STORE.value),
    output_dir=pathlib.Path(_OUTPUT_DIR.value),
    model=_MODEL.value,
    regularisation=_regularisation(),
    precision=_PRECISION.value,
    seed_model=pathlib.Path(seed_model) if seed_model else None,
    seed_clients=flags.FLAGS.seed_clients,
    central=seed_flags.config(),
    rounds=_ROUNDS.value,
    batches=federated_flags.batches(),
    federated=federated_flags.config(),
    privacy=privacy_flags.config(),
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


def _synthetic_store(clients: int, held_out_voices: bool) -> str:
  config = synthetic_corpus.SyntheticConfig(
    clients, 2 * _SEED.value + held_out_voices, held_out_voices=held_out_voices
  )
  return str(prepare.cached_synthetic(config))


if __name__ == '__main__':
  # A run of hours does not end with whoever reads its output.
  command_line.run(main, outlives_reader=True)
