"""The order of saving, releasing and evaluating, with TFF's own managers.

The learning process is a sum of what clients say, so that a state tells which
cohorts it has seen.
"""

import asyncio
import collections
import csv
import itertools
import json
import shutil

import numpy as np
import pytest
import scipy.stats

from tests import plans
from tff_asr import compat, errors
from tff_asr.privacy.accounting import ledger
from tff_asr.privacy.mechanism import layer_clipping
from tff_asr.programs import program_logic, recorded_rounds
from tff_asr.runs import checkpoints, metrics_file

Output = collections.namedtuple('Output', ['state', 'metrics'])


class InterruptError(Exception):
  """Stands for whatever ends a program: a crash, a full disk."""


class Program:
  """One call of the program on a folder."""

  def __init__(self, folder, rounds, evaluate_every=2, fail_at=None):
    self.evaluated = []
    self.seen = []
    self.folder = folder
    folder.mkdir(exist_ok=True)
    metrics = metrics_file.MetricsFile(
      folder / 'metrics.csv',
      lambda: checkpoints.figures(folder / 'checkpoints'),
    )
    self.arguments = dict(
      next_round=self.next_round,
      initial_state={'total': 0},
      last_released=metrics.last_round,
      cohorts=lambda number: [f'{number}'],
      rounds=recorded_rounds.UnrecordedRounds(rounds),
      checkpoints=checkpoints.Checkpoints(folder / 'checkpoints', 2),
      checkpoint_every=1,
      release_managers=[metrics],
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
    return asyncio.run(program_logic.Program(**self.arguments).train())

  def rows(self):
    return [
      {
        k: v
        for k, v in row.items()
        if k != 'check' and not k.startswith('seconds/')
      }
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
  assert set(all_rows(tmp_path / 'silent')[-1]) == {
    *('round', 'wer', 'total', 'check')
  }


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


PLAN = plans.make(
  population=40,
  cohort_size=20,
  rounds=7,
  delta=1e-6,
  noise_multiplier=1.0,
  clipping=layer_clipping.LayerClipping(1.0),
)


class RecordedProgram(Program):
  """A call under a plan; notes what happens, and looks into the ledger.

  Attributes:
    events: What happened, each with its round.
    unrecorded: Those of which the ledger's file did not know when they began.
  """

  def __init__(self, folder, rounds, **kwargs):
    super().__init__(folder, rounds, **kwargs)
    folder.mkdir(exist_ok=True)
    self.path = folder / ledger.FILE_NAME
    self.events = []
    self.unrecorded = []
    self.stop_in = self.fail_in = None
    plan = plans.changed(PLAN, rounds=rounds)
    book = plan.open_ledger(self.path)
    self.recorded_before = self.recorded()
    program = self

    class Rounds(recorded_rounds.RecordedRounds):
      def record(self, number):
        entry = super().record(number)
        program.happens('record', number)
        return entry

    class Checkpoints(checkpoints.Checkpoints):
      async def save(self, program_state, version):
        program.happens('save', version)
        await super().save(program_state, version)

    class Release(compat.ReleaseManager):
      async def release(self, value, key):
        program.happens('release', key)

    self.arguments |= dict(
      rounds=Rounds(plan, book),
      checkpoints=Checkpoints(folder / 'checkpoints', 2),
      release_managers=[Release(), *self.arguments['release_managers']],
      on_round=lambda number, metrics: self.happens('show', number),
      should_stop=lambda: self.rounds_done() == self.stop_in,
    )

  def happens(self, what, number):
    """Notes a step of a round, each computation of which has an entry."""
    times = self.events.count(('compute', number))
    entries = self.recorded()[len(self.recorded_before) :]
    if not times:  # Computed by an earlier call.
      times, entries = min(number, 1), self.recorded_before
    if entries.count(number) < times:
      self.unrecorded.append((what, number))
    self.events.append((what, number))
    if (what, number) == self.fail_in:
      raise InterruptError

  def recorded(self):
    """Rounds in the ledger's file, in the order of its lines."""
    lines = map(json.loads, self.path.read_text().splitlines())
    return [line['round'] for line in lines if 'round' in line]

  def rounds_done(self):
    return max((n for what, n in self.events if what == 'compute'), default=0)

  def next_round(self, state, cohort):
    self.events.append(('compute', int(cohort[0])))
    return super().next_round(state, cohort)

  def evaluate(self, state):
    total = int(state['total'])  # 1 + 2 + ... + the round.
    self.happens('evaluate', round((2 * total + 0.25) ** 0.5 - 0.5))
    return super().evaluate(state)


def order_of(events, number):
  return [what for what, n in events if n == number]


@pytest.mark.parametrize('checkpoint_every', [1, 3, 50])
@pytest.mark.parametrize('evaluate_every', [1, 4, 50])
@pytest.mark.parametrize('rounds', [1, 2, 7])
def test_every_round_is_recorded_then_saved_then_released(
  tmp_path, rounds, evaluate_every, checkpoint_every
):
  """The last one too, whichever of them are saved and evaluated."""
  program = RecordedProgram(tmp_path, rounds, evaluate_every=evaluate_every)
  program.arguments['checkpoint_every'] = checkpoint_every
  program.run()
  assert not program.unrecorded
  assert program.recorded() == list(range(1, rounds + 1))
  for number in range(1, rounds + 1):
    is_evaluated = number % evaluate_every == 0 or number == rounds
    is_saved = is_evaluated or number % checkpoint_every == 0
    assert order_of(program.events, number) == [
      *('compute', 'record'),
      *(['save'] if is_saved else []),
      *(['evaluate'] if is_evaluated else []),
      *('release', 'show'),
    ]
  # And nothing of a round happens before all of the round before.
  numbers = [number for _, number in program.events]
  assert numbers == sorted(numbers)


@pytest.mark.parametrize('stop_in', [1, 2, 6])
def test_the_round_before_a_stop_is_recorded_first(tmp_path, stop_in):
  """And those of the call that goes on."""
  program = RecordedProgram(tmp_path, rounds=7, evaluate_every=50)
  program.arguments['checkpoint_every'] = 50
  program.stop_in = stop_in
  assert program.run().round_number == stop_in
  assert order_of(program.events, stop_in) == [
    *('compute', 'record', 'save', 'release', 'show')
  ]
  rest = RecordedProgram(tmp_path, rounds=7)
  rest.run()
  assert not program.unrecorded + rest.unrecorded
  assert rest.recorded() == list(range(1, 8))
  assert order_of(rest.events, stop_in) == []
  for number in range(stop_in + 1, 8):
    assert order_of(rest.events, number)[:3] == ['compute', 'record', 'save']


@pytest.mark.parametrize('number', [1, 2, 3])
@pytest.mark.parametrize(
  'what', ['record', 'save', 'evaluate', 'release', 'show']
)
def test_an_interrupted_round_is_in_the_record_whatever_was_seen_of_it(
  tmp_path, number, what
):
  """A round that is computed again is recorded again; the last one too."""
  program = RecordedProgram(tmp_path, rounds=3, evaluate_every=1)
  program.fail_in = (what, number)
  with pytest.raises(InterruptError):
    program.run()
  assert program.events[-1] == (what, number)
  assert program.recorded() == list(range(1, number + 1))
  rest = RecordedProgram(tmp_path, rounds=3, evaluate_every=1)
  rest.run()
  assert not program.unrecorded + rest.unrecorded
  computed = [n for w, n in program.events + rest.events if w == 'compute']
  again = what in ('record', 'save')
  assert computed.count(number) == (2 if again else 1)
  assert rest.recorded() == computed
  first = order_of(rest.events, number)
  if again:
    assert first == [
      *('compute', 'record', 'save', 'evaluate', 'release', 'show')
    ]
  else:
    assert first in ([], ['evaluate', 'release', 'show'])


def test_each_round_gets_the_cohort_that_was_drawn_for_it(tmp_path):
  """One call of the sampler for a round, also for one that is repeated."""
  drawn, given = [], []

  def program(**kwargs):
    made = Program(tmp_path, rounds=6, evaluate_every=6, **kwargs)

    def cohorts(number):
      drawn.append((number, [f'{number}', f'draw {len(drawn)}']))
      return drawn[-1][1]

    def next_round(state, cohort):
      given.append(cohort)
      return made.next_round(state, cohort)

    made.arguments |= dict(
      checkpoint_every=2, cohorts=cohorts, next_round=next_round
    )
    return made

  with pytest.raises(InterruptError):
    program(fail_at=4).run()
  program().run()
  assert [number for number, _ in drawn] == [1, 2, 3, 4, 3, 4, 5, 6]
  assert given == [cohort for _, cohort in drawn]


def test_cohorts_of_the_rounds_of_a_program_are_independent(tmp_path):
  """By the plan's own sampler: half of 40 clients, 60 rounds, no two alike.

  Two equal ones are a chance of 2^-29; the rates have an exact test.
  """
  clients = [f'{i}' for i in range(PLAN.population)]
  program = Program(tmp_path, rounds=60, evaluate_every=60)
  given = []

  def next_round(state, cohort):
    given.append(frozenset(cohort))
    return Output(state, 0)

  program.arguments |= dict(
    checkpoint_every=60, cohorts=PLAN.cohorts(clients), next_round=next_round
  )
  program.run()
  assert len(given) == len(set(given)) == 60
  included = np.array([[c in cohort for c in clients] for cohort in given])
  for gap, start in itertools.product((1, 2, 3), (0, 1)):
    rows = included[start::gap]
    first, second = rows[: len(rows) // 2 * 2 : 2], rows[1::2]
    alike = np.sum(first == second)
    test = scipy.stats.binomtest(int(alike), first.size, 0.5)
    assert test.pvalue > 1e-9 / 12
  assert scipy.stats.binomtest(int(included.sum()), 2_400).pvalue > 1e-9 / 12


class DivergingProgram(RecordedProgram):
  """A call whose model has a fault after one round."""

  def __init__(self, folder, rounds, diverges_in, **kwargs):
    super().__init__(folder, rounds, **kwargs)
    total = diverges_in * (diverges_in + 1) // 2
    self.arguments['fault'] = lambda state: (
      'is ill' if int(state['total']) == total else None
    )


@pytest.mark.parametrize('checkpoint_every', [1, 50])
@pytest.mark.parametrize('diverges_in', [1, 3, 7])
def test_a_round_that_diverges_is_recorded_and_never_repeated(
  tmp_path, diverges_in, checkpoint_every
):
  def call(rounds=7):
    program = DivergingProgram(tmp_path, rounds, diverges_in, evaluate_every=50)
    program.arguments['checkpoint_every'] = checkpoint_every
    return program

  first = call()
  with pytest.raises(errors.UserError, match=f'in round {diverges_in}: the'):
    first.run()
  assert order_of(first.events, diverges_in) == ['compute', 'record']
  assert ('release', diverges_in - 1) in first.events
  spent = first.recorded()
  assert spent == list(range(1, diverges_in + 1))
  for _ in range(2):
    again = call()
    with pytest.raises(errors.UserError, match='an earlier command') as found:
      again.run()
    assert again.recorded() == spent and not again.events
  if diverges_in == 1:
    assert '`rounds=' not in str(found.value)
    return
  assert f'`rounds={diverges_in - 1}`' in str(found.value)
  shorter = call(diverges_in - 1)
  assert shorter.run().round_number == diverges_in - 1
  assert shorter.recorded() == spent


def test_no_round_follows_a_saved_state_with_a_fault(tmp_path):
  """Earlier releases saved such states."""
  RecordedProgram(tmp_path, 3).run()
  program = DivergingProgram(tmp_path, 7, diverges_in=3)
  with pytest.raises(errors.UserError, match='model after round 3 is ill'):
    program.run()
  assert program.recorded() == [1, 2, 3]
