"""A run that is stopped, seeded, or called again."""

import gc
import os
import signal

import numpy as np
import pytest

from tests import plans
from tests.commands import training
from tff_asr.corpora import batching
from tff_asr.models import model_folder
from tff_asr.programs import (
  execution,
  round_metrics,
  stopping,
)


# In a process, with its exit code: tests/pipelines/commands_test.py.
def test_a_run_that_a_signal_ended_goes_on_bit_for_bit(
  quick, tmp_path, monkeypatch, capfd
):
  """After its round; whatever is dropped, blanked and shuffled on clients."""
  number = signal.SIGTERM
  seeded = training.changed(
    quick,
    noise_multiplier=0.0,
    insecure_cohort_seed=3,
    execution=execution.ExecutionConfig(clients_per_device=1),
    batches=batching.BatchConfig(seconds=2.0, epochs=2),
    **dict(rounds=3, checkpoint_every=10, evaluate_every=10),
  )
  whole, parts = (tmp_path / name for name in ('whole', 'parts'))
  training.run(seeded, whole)
  gc.collect()
  handler = signal.getsignal(number)
  measured = round_metrics.RoundMetrics.__call__

  def with_signal(self, metrics, seconds):
    os.kill(os.getpid(), number)
    return measured(self, metrics, seconds)

  with monkeypatch.context() as patched:
    patched.setattr(round_metrics.RoundMetrics, '__call__', with_signal)
    with pytest.raises(stopping.Stopped, match='after round 1 of 3') as stopped:
      training.run(seeded, parts)
  assert stopped.value.signal == number
  note = f'{number.name}: the program stops when the round is finished'
  assert note in capfd.readouterr().err
  assert signal.getsignal(number) is handler
  assert not (parts / 'report.html').exists()
  assert [r['round'] for r in training.rows(parts)] == ['0', '1']
  del stopped
  gc.collect()
  # What an earlier call came to is not there while a run goes on.
  (parts / 'summary.json').write_text('{}')
  seen = []

  def looking(self, metrics, seconds):
    seen.append((parts / 'summary.json').exists())
    return measured(self, metrics, seconds)

  with monkeypatch.context() as patched:
    patched.setattr(round_metrics.RoundMetrics, '__call__', looking)
    training.run(seeded, parts)
  assert seen == [False, False]

  weights = [model_folder.load(f)[0].get_weights() for f in (whole, parts)]
  for one, other in zip(*weights, strict=True):
    np.testing.assert_array_equal(one, other)
  released = [
    [
      {k: v for k, v in row.items() if not k.startswith('seconds/')}
      for row in training.rows(folder)
    ]
    for folder in (whole, parts)
  ]
  assert [row['round'] for row in released[0]] == ['0', '1', '2', '3']
  assert released[0] == released[1]


def test_cohorts_repeat_with_a_seed_where_nothing_is_promised(quick):
  settings = training.changed(
    quick, noise_multiplier=0.0, insecure_cohort_seed=3, clipping=None
  ).privacy
  population = [f'{i}' for i in range(50)]
  for sampling in 'poisson', 'fixed':
    privacy = plans.changed_privacy(settings, sampling=sampling, cohort_size=9)
    plan = plans.changed_privacy(
      privacy, clipping=quick.privacy.mechanism.clipping
    ).plan(population=50, rounds=5)
    for of_plan in None, plan:
      first, second = (
        [sample(number) for number in range(5)]
        for sample in (privacy.cohorts(of_plan, population) for _ in range(2))
      )
      assert first == second and len({tuple(c) for c in first}) == 5


def test_a_ledger_that_does_not_fit_stops_the_run(config, finished, tmp_path):
  output_dir = training.copied(finished[0], tmp_path / 'run')
  path = output_dir / 'ledger.jsonl'
  path.write_text(''.join(path.read_text().splitlines(keepends=True)[:-1]))
  training.refused(config, output_dir, 'cut short', rounds=4)
