"""The federated program: rounds, checkpoints, releases, evaluation.

TFF's `tff.learning.programs.train_model` asks for cohorts of a fixed size,
releases the un-noised training metrics of every round, and evaluates by a
federated computation; here cohorts are Poisson-sampled, what is released
depends on the privacy plan, and error rates come from text.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from tff_asr import compat, errors
from tff_asr.privacy import cohorts as cohorts_lib

Metrics = dict[str, float]


class ProgramState(NamedTuple):
  """All that the next round depends on.

  Attributes:
    learning: State of the learning process.
    round_number: Number of rounds done.
    entry: What `Rounds.record` returned for the last of them, empty at first.
  """

  learning: Any
  round_number: int
  entry: str


class Rounds(Protocol):
  """Which rounds may be done, and the record of those that were."""

  def check_fits(self, number: int, entry: str) -> None:
    """Raises a `UserError` unless a state's last round is in the record."""

  def last_round(self, done: int) -> int:
    """The last round that may be done, at least `done`."""

  def record(self, number: int) -> str:
    """Records a round for good; returns what identifies the entry."""


async def train(
  *,
  next_round: Callable[[Any, list[str]], Any],
  initial_state: Any,
  last_released: int,
  cohorts: cohorts_lib.Cohorts,
  rounds: Rounds,
  state_manager: compat.ProgramStateManager,
  release_managers: Sequence[compat.ReleaseManager],
  round_metrics: Callable[[int, Any], Metrics],
  evaluate: Callable[[Any], Metrics],
  evaluate_every: int,
  on_round: Callable[[int, Metrics], None],
) -> ProgramState:
  """Runs the rounds that are still to do; returns the last state.

  A round is recorded before its state is saved, and that before anything of the
  round is released: the record has every round whose result was seen, and a run
  that is interrupted and called again never repeats one.
  Interrupted between the two, the round lacks what was measured during it; its
  evaluation is made up for.

  Args:
    next_round: From a learning state and a cohort to TFF's
      `LearningProcessOutput`.
    initial_state: Learning state of round 0.
    last_released: Last round whose metrics were released by an earlier call,
      -1 if there was none.
    cohorts: Samples the clients of a round.
    rounds: Says which rounds may be done and records them.
    state_manager: Saves and loads `ProgramState` by round.
    release_managers: Get the metrics of every round.
    round_metrics: From a round's number and TFF's metrics to those released.
    evaluate: From a learning state to metrics.
    evaluate_every: Rounds between evaluations; round 0 and the last round are
      evaluated as well.
    on_round: Called after each release.

  Raises:
    UserError: If rounds were released of which there is no checkpoint.
  """

  async def release(state: ProgramState, metrics: Metrics) -> None:
    number = state.round_number
    if number % evaluate_every == 0 or number == last:
      metrics = metrics | evaluate(state.learning)
    for manager in release_managers:
      await manager.release(metrics, number)
    on_round(number, metrics)

  first = ProgramState(initial_state, 0, '')
  state, _ = await state_manager.load_latest(first)
  rounds.check_fits(*_position(state or first))
  if state is None:
    state = first
    await state_manager.save(state, 0)
  if state.round_number < last_released:
    raise errors.UserError(
      f'Rounds up to {last_released} were released, but the last checkpoint is'
      f' of round {state.round_number}: repeating rounds would spend privacy'
      ' that no epsilon accounts for. Restore the checkpoints, or give another'
      ' --output_dir.'
    )
  last = rounds.last_round(int(state.round_number))
  if state.round_number > last_released:
    await release(state, {})
  while state.round_number < last:
    number = int(state.round_number) + 1
    output = next_round(state.learning, cohorts(number))
    state = ProgramState(output.state, number, rounds.record(number))
    await state_manager.save(state, number)
    await release(state, round_metrics(number, output.metrics))
  return state


def _position(state: ProgramState) -> tuple[int, str]:
  """Round and entry of a state, which a checkpoint gives back as bytes."""
  entry = state.entry
  return int(state.round_number), (
    entry.decode() if isinstance(entry, bytes) else entry
  )
