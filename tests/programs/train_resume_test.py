"""A run that is stopped, seeded, or called again."""

import dataclasses
import gc
import os
import signal

import numpy as np
import pytest

from tests.programs import training
from tff_asr.corpora import client_datasets
from tff_asr.models import model_folder
from tff_asr.privacy import ledger
from tff_asr.programs import (
  execution,
  round_metrics,
  stopping,
)


# In a process, and with the other signal: tests/pipelines/commands_test.py.
def test_a_signal_ends_a_run_after_its_round_and_the_next_call_goes_on(
  quick, tmp_path, monkeypatch, capfd
):
  number = signal.SIGTERM
  output_dir = tmp_path / 'run'
  handler = signal.getsignal(number)
  measured = round_metrics.RoundMetrics.__call__

  calls = []

  def with_signal(self, metrics, seconds):
    calls.append(seconds)
    if len(calls) == 2:
      os.kill(os.getpid(), number)
    return measured(self, metrics, seconds)

  slow = dict(rounds=4, checkpoint_every=10, evaluate_every=10)
  with monkeypatch.context() as patched:
    patched.setattr(round_metrics.RoundMetrics, '__call__', with_signal)
    with pytest.raises(stopping.Stopped, match='after round 2 of 4') as stopped:
      training.run(quick, output_dir, **slow)
  assert stopped.value.signal == number
  assert f'{number.name}: the round is finished' in capfd.readouterr().err
  assert signal.getsignal(number) is handler
  assert not (output_dir / 'report.html').exists()
  assert [r['round'] for r in training.rows(output_dir)] == ['0', '1', '2']
  del stopped
  gc.collect()
  # What an earlier call came to is not there while a run goes on.
  (output_dir / 'summary.json').write_text('{}')
  seen = []

  def looking(self, metrics, seconds):
    seen.append((output_dir / 'summary.json').exists())
    return measured(self, metrics, seconds)

  with monkeypatch.context() as patched:
    patched.setattr(round_metrics.RoundMetrics, '__call__', looking)
    training.run(quick, output_dir, **slow)
  assert seen == [False, False]
  assert [r['round'] for r in training.rows(output_dir)] == [
    '0',
    '1',
    '2',
    '3',
    '4',
  ]
  assert ledger.Ledger(output_dir / 'ledger.jsonl').last_round == 4
  plan = quick.privacy.plan(population=4, rounds=4)
  assert training.summary_of(output_dir)['epsilon'] == plan.epsilons().best


def test_with_a_seed_a_run_in_parts_is_that_in_one_bit_for_bit(quick, tmp_path):
  """Whatever is dropped, blanked and shuffled on the clients."""
  seeded = training.changed(
    quick,
    noise_multiplier=0.0,
    insecure_cohort_seed=3,
    execution=execution.ExecutionConfig(clients_per_device=1),
    batches=client_datasets.BatchConfig(seconds=2.0, epochs=2),
  )
  for name, parts in ('whole', [3]), ('parts', [1, 3]):
    for rounds in parts:
      training.run(seeded, tmp_path / name, rounds=rounds)
      gc.collect()
  whole, parts = (
    model_folder.load(tmp_path / name)[0].get_weights()
    for name in ('whole', 'parts')
  )
  for one, other in zip(whole, parts, strict=True):
    np.testing.assert_array_equal(one, other)
  released = [
    [
      {k: v for k, v in row.items() if not k.startswith('seconds/')}
      for row in training.rows(tmp_path / name)
    ]
    for name in ('whole', 'parts')
  ]
  # Evaluated because it was the last, in one of them.
  for row in released[0][1], released[1][1]:
    for name in 'wer', 'cer', 'eval_loss':
      row.pop(name)
  assert released[0] == released[1]


def test_cohorts_repeat_with_a_seed_where_nothing_is_promised(quick):
  settings = training.changed(
    quick, noise_multiplier=0.0, insecure_cohort_seed=3, clipping=None
  ).privacy
  population = [f'{i}' for i in range(50)]
  for sampling in 'poisson', 'fixed':
    privacy = dataclasses.replace(settings, sampling=sampling, cohort_size=9)
    plan = dataclasses.replace(privacy, clipping=quick.privacy.clipping).plan(
      population=50, rounds=5
    )
    for of_plan in None, plan:
      first, second = (
        [sample(number) for number in range(5)]
        for sample in (privacy.cohorts(of_plan, population) for _ in range(2))
      )
      assert first == second and len({tuple(c) for c in first}) == 5


def test_a_ledger_that_does_not_fit_stops_the_run(quick, tmp_path):
  output_dir = tmp_path / 'run'
  training.run(quick, output_dir)
  path = output_dir / 'ledger.jsonl'
  path.write_text(''.join(path.read_text().splitlines(keepends=True)[:-1]))
  training.refused(quick, output_dir, 'cut short', rounds=2)
