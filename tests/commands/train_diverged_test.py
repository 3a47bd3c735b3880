"""Trainings that diverge: no run goes on with a model that is not finite."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests import convolution_encoder
from tests.commands import training
from tff_asr import checksums, errors
from tff_asr.commands import evaluate, export
from tff_asr.models import kinds, model_folder, presets
from tff_asr.privacy.accounting import ledger
from tff_asr.runs import checkpoints, folders, records


def rounds_in_ledger(run):
  file = folders.RunPaths(run).ledger
  lines = map(json.loads, file.read_text().splitlines())
  return [line['round'] for line in lines if 'round' in line]


@pytest.fixture(scope='module')
def ill(finished, tmp_path_factory):
  """The folder of a finished run, its model with one weight of NaN."""
  run = tmp_path_factory.mktemp('runs') / 'ill'
  shutil.copytree(finished[0], run)
  encoder, vocabulary = model_folder.load(run)
  weights = list(map(np.array, encoder.get_weights()))
  weights[-1].flat[0] = np.nan
  encoder.set_weights(weights)
  model_folder.save(run / 'model', encoder, vocabulary)
  summary = run / 'summary.json'
  found = json.loads(summary.read_text())
  found[records.MODEL] = model_folder.digest(run / 'model')
  checksums.write(summary, json.dumps(found))
  return run


@pytest.mark.parametrize('epochs', [1, 3])
def test_no_round_starts_from_a_seed_model_that_diverged(
  config, tmp_path, epochs
):
  wild = dataclasses.replace(
    config.central,
    learning_rate=1e30,
    epochs=epochs,
    schedule=dataclasses.replace(config.central.schedule, warmup_steps=0),
  )
  run = tmp_path / 'run'
  training.refused(config, run, 'CentralConfig.learning_rate', central=wild)
  assert (
    not rounds_in_ledger(run) and not (run / 'seed_model/model.json').exists()
  )


def test_no_round_starts_from_a_given_model_that_is_not_finite(
  quick, ill, tmp_path
):
  training.refused(quick, tmp_path / 'run', 'not finite', seed_model=ill)
  assert not (tmp_path / 'run').exists()


def test_a_model_that_is_not_finite_is_not_published(config, ill, tmp_path):
  with pytest.raises(errors.UserError, match='not finite'):
    export.export(ill, tmp_path / 'served', 'asr', 0, 9.0, [])
  assert not (tmp_path / 'served').exists()
  with pytest.raises(errors.UserError, match='not finite'):
    evaluate.evaluate(ill, config.eval_store, 0)


def test_an_encoder_whose_outputs_are_no_numbers_trains_no_round(
  config, tmp_path, monkeypatch
):
  @dataclasses.dataclass(frozen=True)
  class Config(convolution_encoder.ConvolutionConfig):
    kind = 'no numbers'

    def make(self, precision_name):
      return Encoder(self)

  class Encoder(convolution_encoder.ConvolutionEncoder):
    def call(self, *args, **kwargs):
      return super().call(*args, **kwargs) * tf.constant(np.nan)

  monkeypatch.setitem(kinds.KINDS, Config.kind, Config)
  monkeypatch.setitem(presets.PRESETS, Config.kind, dict(kind=Config.kind))
  for seeds in 0, 2:
    run = tmp_path / f'with {seeds}'
    training.refused(
      config, run, 'not finite|diverged', model=Config.kind, seed_clients=seeds
    )
    assert not rounds_in_ledger(run)


@pytest.fixture(scope='module')
def wild(quick):
  """Rounds that diverge: steps of the server as long as float32 allows."""
  federated = dataclasses.replace(
    quick.federated, server_optimizer='sgd', server_learning_rate=1e38
  )
  return training.changed(quick, federated=federated, rounds=4)


def test_rounds_stop_when_the_model_is_not_finite(wild, tmp_path):
  run = tmp_path / 'run'
  training.refused(wild, run, 'diverged in round 1: the model has .*not finite')
  assert rounds_in_ledger(run) == [1]
  training.refused(wild, run, 'diverged in round 1: an earlier command')
  assert rounds_in_ledger(run) == [1]
  assert [row['round'] for row in training.rows(run)] == ['0']
  assert [n for n, _ in checkpoints.recorded(run / 'checkpoints')] == [0, 0]
  assert not (run / 'model' / 'model.json').exists()


def test_a_run_can_be_finished_with_the_last_model_that_is_finite(
  quick, tmp_path
):
  """LAMB multiplies the weights: they are too large after a few rounds."""
  run = tmp_path / 'run'
  federated = dataclasses.replace(
    quick.federated, server_optimizer='lamb', server_learning_rate=1e9
  )
  growing = training.changed(
    quick, federated=federated, rounds=20, evaluate_every=20, checkpoint_every=9
  )
  message = training.refused(growing, run, 'diverged in round')
  last = int(re.search('`rounds=([0-9]+)`', message)[1])
  assert rounds_in_ledger(run) == list(range(1, last + 2))
  training.run(growing, run, rounds=last)
  assert rounds_in_ledger(run) == list(range(1, last + 2))
  summary = training.summary_of(run)
  book = ledger.Ledger(run / ledger.FILE_NAME)
  assert summary['rounds'] == last
  assert summary['epsilon'] == book.epsilons(summary['delta']).best
  model_folder.load(run)
  training.refused(growing, run, 'an earlier command')
