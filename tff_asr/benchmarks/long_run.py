"""Trains a run of many rounds in a separate process; records memory and time.

The process prints a JSON object after each round: `round`, `resident`, the
memory of the process in bytes, and `time`, in seconds since any moment.
"""

import os
import pathlib
import sys
import time

from tff_asr.commands import train
from tff_asr.corpora import batching
from tff_asr.learning import central, federated
from tff_asr.privacy import settings
from tff_asr.privacy.mechanism import gaussian, layer_clipping
from tff_asr.privacy.sampling import schemes
from tff_asr.programs import execution, release_managers

_COHORT = 4
_EVALUATE_EVERY = 25


class _Resident(release_managers.JsonLog):
  """Logs the memory of the process and the time instead of the metrics."""

  async def release(self, value, key):
    del value
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
    size = pages * os.sysconf('SC_PAGE_SIZE')
    self.write('round', round=key, resident=size, time=time.monotonic())


def run(
  train_store: pathlib.Path,
  eval_store: pathlib.Path,
  output_dir: pathlib.Path,
  model: str,
  rounds: int,
) -> None:
  """Runs private rounds with checkpoints, metrics and evaluations.

  Args:
    train_store: Store of the clients.
    eval_store: Store of the held-out speakers.
    output_dir: Folder of the run.
    model: Name of a preset.
    rounds: Number of rounds.
  """
  config = train.TrainConfig(
    train_store=train_store,
    eval_store=eval_store,
    output_dir=output_dir,
    model=model,
    regularisation={},
    precision='float32',
    seed_model=None,
    seed_clients=0,
    central=central.CentralConfig(
      epochs=1, batch_seconds=16.0, learning_rate=1e-3
    ),
    rounds=rounds,
    batches=batching.BatchConfig(seconds=16.0, epochs=1),
    federated=federated.FederatedConfig(0.1, 1.0, 'lamb', 1e-3),
    privacy=settings.PrivacyConfig(
      sampling=schemes.SamplingSettings(cohort_size=_COHORT),
      mechanism=gaussian.Gaussian(
        clipping=layer_clipping.LayerClipping(0.1), noise_multiplier=1.0
      ),
    ),
    evaluate_every=_EVALUATE_EVERY,
    evaluate_clients=0,
    checkpoint_every=1,
    keep_checkpoints=2,
    execution=execution.ExecutionConfig(),
    seed=0,
  )
  train.train(config, {}, _Resident(sys.stdout))


if __name__ == '__main__':
  *_folders, _model, _rounds = sys.argv[1:]
  run(*map(pathlib.Path, _folders), _model, int(_rounds))
