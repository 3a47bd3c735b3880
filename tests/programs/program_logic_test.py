"""The order of saving, releasing and evaluating, with TFF's own managers.

The learning process is a sum of what clients say, so that a state tells which
cohorts it has seen.
"""

import asyncio
import collections
import csv
import shutil

import pytest

from tff_asr import compat, errors
from tff_asr.programs import (
  checkpoints,
  program_logic,
  recorded_rounds,
  report,
)

Output = collections.namedtuple('Output', ['state', 'metrics'])


class InterruptError(Exception):
  """Stands for whatever ends a program: a crash, a full disk."""


class Program:
  """One call of the program on a folder."""

  def __init__(self, folder, rounds, evaluate_every=2, fail_at=None):
    self.evaluated = []
    self.seen = []
    self.folder = folder
    self.arguments = dict(
      next_round=self.next_round,
      initial_state={'total': 0},
      last_released=report.last_round(folder / 'metrics.csv'),
      cohorts=lambda number: [f'{number}'],
      rounds=recorded_rounds.UnrecordedRounds(rounds),
      checkpoints=checkpoints.Checkpoints(folder / 'checkpoints', 2),
      checkpoint_every=1,
      release_managers=[
        compat.CSVFileReleaseManager(
          folder / 'metrics.csv', key_fieldname='round'
        )
      ],
      round_metrics=lambda metrics, seconds: {'total': metrics},
      evaluate=self.evaluate,
      evaluate_every=evaluate_every,
      on_round=lambda number, metrics: self.seen.append(number),
    )
    self.fail_at = fail_at

  def next_round(self, state, cohort):
    if int(cohort[0]) == self.fail_at:
      raise InterruptError
    total = int(state['total']) + int(cohort[0])
    return Output({'total': total}, total)

  def evaluate(self, state):
    self.evaluated.append(int(state['total']))
    return {'wer': 1 / (1 + int(state['total']))}

  def run(self):
    return asyncio.run(program_logic.train(**self.arguments))

  def rows(self):
    return [
      {k: v for k, v in row.items() if not k.startswith('seconds/')}
      for row in all_rows(self.folder)
    ]


def all_rows(folder):
  with open(folder / 'metrics.csv', newline='') as file:
    return list(csv.DictReader(file))


def test_rounds_are_done_in_order_and_evaluated_as_asked(tmp_path):
  program = Program(tmp_path, rounds=5)
  state = program.run()
  assert state.round_number == 5
  assert state.learning == {'total': 15}
  assert program.seen == [0, 1, 2, 3, 4, 5]
  # After rounds 0, 2, 4 and the last.
  assert program.evaluated == [0, 3, 10, 15]
  rows = program.rows()
  assert [int(r['round']) for r in rows] == [0, 1, 2, 3, 4, 5]
  assert [bool(r['wer']) for r in rows] == [
    True,
    False,
    True,
    False,
    True,
    True,
  ]


@pytest.mark.parametrize('fail_at', [1, 2, 3, 5])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path, fail_at):
  whole = Program(tmp_path / 'whole', rounds=5)
  whole.run()
  with pytest.raises(InterruptError):
    Program(tmp_path / 'parts', rounds=5, fail_at=fail_at).run()
  rest = Program(tmp_path / 'parts', rounds=5)
  state = rest.run()
  assert (state.learning['total'], state.round_number) == (15, 5)
  assert rest.seen == list(range(fail_at, 6))
  assert rest.rows() == whole.rows()


def test_a_round_is_saved_before_anything_of_it_is_released(tmp_path):
  program = Program(tmp_path, rounds=3, evaluate_every=1)

  def evaluate(state):
    if int(state['total']) == 3:  # After round 2.
      raise InterruptError
    return {'wer': 0.5}

  program.arguments['evaluate'] = evaluate
  with pytest.raises(InterruptError):
    program.run()
  assert [int(r['round']) for r in program.rows()] == [0, 1]
  again = Program(tmp_path, rounds=3)
  assert again.run().learning['total'] == 6
  assert again.seen == [2, 3]  # Released, but not repeated:
  assert again.evaluated == [3, 6]
  assert [r['total'] for r in again.rows()] == ['', '1', '3', '6']


def test_a_finished_run_is_left_as_it_is_and_can_be_extended(tmp_path):
  Program(tmp_path, rounds=3).run()
  again = Program(tmp_path, rounds=3)
  assert again.run().round_number == 3
  assert again.seen == []
  longer = Program(tmp_path, rounds=4)
  assert longer.run().learning['total'] == 10


def test_released_rounds_without_their_checkpoints_are_not_repeated(tmp_path):
  Program(tmp_path, rounds=3).run()
  shutil.rmtree(tmp_path / 'checkpoints')
  with pytest.raises(errors.UserError, match='up to 3 were released'):
    Program(tmp_path, rounds=3).run()


@pytest.mark.parametrize('fail_at', [1, 2, 3, 4, 5, 6, 7])
def test_rounds_since_the_last_checkpoint_are_repeated(tmp_path, fail_at):
  whole = Program(tmp_path / 'whole', rounds=7, evaluate_every=4)
  whole.run()
  parts = Program(tmp_path / 'parts', 7, evaluate_every=4, fail_at=fail_at)
  parts.arguments['checkpoint_every'] = 3
  with pytest.raises(InterruptError):
    parts.run()
  rest = Program(tmp_path / 'parts', rounds=7, evaluate_every=4)
  assert rest.run().learning['total'] == 28
  saved = max(n for n in (0, 3, 4, 6) if n < fail_at)
  assert rest.seen == list(range(saved + 1, 8))
  assert rest.rows() == whole.rows()


def test_durations_are_released_as_asked(tmp_path):
  program = Program(tmp_path, rounds=2)
  program.arguments['timed'] = lambda name, seconds: {f'my/{name}': seconds}
  program.run()
  for row in all_rows(tmp_path):
    assert {n for n in row if 'seconds' in n} == {
      *('my/seconds/save', 'my/seconds/evaluate')
    }
  silent = Program(tmp_path / 'silent', rounds=2)
  silent.arguments['timed'] = lambda name, seconds: {}
  silent.run()
  assert set(all_rows(tmp_path / 'silent')[-1]) == {'round', 'wer', 'total'}


def test_a_stop_saves_the_round_and_the_next_call_goes_on(tmp_path):
  program = Program(tmp_path, rounds=5, evaluate_every=5)
  program.arguments |= dict(
    checkpoint_every=5, should_stop=lambda: len(program.seen) > 2
  )
  state = program.run()
  # Seen 0, 1 and 2 when round 3 ends.
  assert (state.round_number, program.seen) == (3, [0, 1, 2, 3])
  rest = Program(tmp_path, rounds=5)
  assert rest.run().learning['total'] == 15
  assert rest.seen == [4, 5]


def test_a_stop_before_the_first_round_does_nothing(tmp_path):
  program = Program(tmp_path, rounds=5)
  program.arguments['should_stop'] = lambda: True
  assert program.run().round_number == 0
  assert program.seen == [0]


def test_the_checkpoint_of_the_lowest_error_rate_stays(tmp_path):
  program = Program(tmp_path, rounds=6, evaluate_every=1)
  rates = iter([0.9, 0.5, 0.4, 0.7, 0.4, 0.8, 0.6])
  program.arguments['evaluate'] = lambda state: {'wer': next(rates)}
  program.run()
  kept = sorted(path.name for path in (tmp_path / 'checkpoints').iterdir())
  assert kept == [
    'best_round_000002_wer_0.400000.npz',
    'round_000005.npz',
    'round_000006.npz',
  ]
