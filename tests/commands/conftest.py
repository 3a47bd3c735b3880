"""Runs on synthetic speech that several tests look at."""

import functools
import pathlib

import pytest

from tests import stores as stores_lib
from tests.commands import training
from tff_asr.commands import train
from tff_asr.corpora import batching
from tff_asr.corpora.readers.synthetic import synthetic_corpus
from tff_asr.learning import central, federated
from tff_asr.models import presets
from tff_asr.privacy import settings
from tff_asr.privacy.mechanism import gaussian, layer_clipping
from tff_asr.privacy.sampling import schemes
from tff_asr.programs import execution

_MODEL = 'of one block'


@pytest.fixture(scope='session', autouse=True)
def _small_model():
  """A preset that is traced faster than `tiny`."""
  sizes = dict(blocks=1, width=16, mlp_width=32, convolutions=1)
  with pytest.MonkeyPatch.context() as patched:
    patched.setitem(presets.PRESETS, _MODEL, presets.PRESETS['tiny'] | sizes)
    yield


@pytest.fixture(scope='session', autouse=True)
def _same_process():
  """One learning process for all runs that would build the same."""
  build = functools.cache(federated.build_learning_process)
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(federated, 'build_learning_process', build)
    yield


@pytest.fixture(scope='session')
def config(tmp_path_factory):
  stores = tmp_path_factory.mktemp('stores')
  for name, clients, seed in ('train', 6, 0), ('eval', 2, 1):
    source = synthetic_corpus.Synthetic(
      synthetic_corpus.SyntheticConfig(clients, seed, 3.0)
    )
    stores_lib.write(stores / name, list(source.items()))
  return train.TrainConfig(
    train_store=stores / 'train',
    eval_store=stores / 'eval',
    output_dir=pathlib.Path('nowhere'),
    model=_MODEL,
    regularisation={},
    precision='float32',
    seed_model=None,
    seed_clients=2,
    central=central.CentralConfig(
      epochs=1, batch_seconds=9.0, learning_rate=1e-3
    ),
    rounds=2,
    batches=batching.BatchConfig(seconds=9.0, epochs=1),
    federated=federated.FederatedConfig(0.1, 1.0, 'lamb', 0.01),
    privacy=settings.PrivacyConfig(
      sampling=schemes.SamplingSettings(cohort_size=2),
      mechanism=gaussian.Gaussian(
        clipping=layer_clipping.LayerClipping(0.1, layer_bounds='dim'),
        noise_multiplier=0.5,
      ),
      budget=settings.Budget(delta=1e-6),
    ),
    evaluate_every=1,
    evaluate_clients=0,
    checkpoint_every=1,
    keep_checkpoints=2,
    execution=execution.ExecutionConfig(),
    seed=0,
  )


@pytest.fixture(scope='session')
def finished(config, tmp_path_factory):
  output_dir = tmp_path_factory.mktemp('runs') / 'run'
  return output_dir, training.run(config, output_dir)


@pytest.fixture(scope='session')
def unguarded(config, tmp_path_factory):
  """A run without privacy."""
  output_dir = tmp_path_factory.mktemp('runs') / 'unguarded'
  table = training.run(
    config,
    output_dir,
    clipping=None,
    noise_multiplier=0.0,
    sampling='fixed',
    rounds=1,
  )
  assert 'no privacy guarantee' in ' '.join(table.split())
  return output_dir


@pytest.fixture(scope='session')
def quick(config, finished):
  """A round that begins with a seed model, on the four other clients."""
  seed_model = finished[0] / 'seed_model'
  return training.changed(
    config, seed_model=seed_model, seed_clients=0, rounds=1
  )


@pytest.fixture(scope='session')
def unprotected(quick, tmp_path_factory):
  """A run with all that can be released, at sizes that are not its own."""
  output_dir = tmp_path_factory.mktemp('runs') / 'unprotected'
  table = training.run(
    quick,
    output_dir,
    unprotected_metrics=True,
    clipping=layer_clipping.LayerClipping(0.1, layer_bounds='adaptive'),
    accounting_cohort_size=2_000,
    accounting_population=100_000,
  )
  return output_dir, table
