"""The federated program: rounds, checkpoints, releases, evaluation.

TFF's `tff.learning.programs.train_model` asks for cohorts of a fixed size,
releases the un-noised training metrics of every round, and evaluates by a
federated computation; here cohorts are Poisson-sampled, what is released
depends on the privacy plan, and error rates come from text.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tff_asr import compat, errors
from tff_asr.corpora import cohorts as cohorts_lib

Metrics = dict[str, float]


class ProgramState(NamedTuple):
  """All that the next round depends on.

  Attributes:
    learning: State of the learning process.
    round_number: Number of rounds done.
  """

  learning: Any
  round_number: int


async def train(
  *,
  next_round: Callable[[Any, list[str]], Any],
  initial_state: Any,
  last_released: int,
  cohorts: cohorts_lib.Cohorts,
  rounds: int,
  state_manager: compat.ProgramStateManager,
  release_managers: Sequence[compat.ReleaseManager],
  round_metrics: Callable[[int, Any], Metrics],
  evaluate: Callable[[Any], Metrics],
  evaluate_every: int,
  on_round: Callable[[int, Metrics], None],
) -> ProgramState:
  """Runs the rounds that are still to do; returns the last state.

  A round's state is saved before anything of the round is released: a run that
  is interrupted and called again never repeats a round whose result was seen.
  Interrupted between the two, the round lacks what was measured during it; its
  evaluation is made up for.

  Args:
    next_round: From a learning state and a cohort to TFF's
      `LearningProcessOutput`.
    initial_state: Learning state of round 0.
    last_released: Last round whose metrics were released by an earlier call,
      -1 if there was none.
    cohorts: Samples the clients of a round.
    rounds: Number of rounds in all.
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
    if number % evaluate_every == 0 or number == rounds:
      metrics = metrics | evaluate(state.learning)
    for manager in release_managers:
      await manager.release(metrics, number)
    on_round(number, metrics)

  state, _ = await state_manager.load_latest(ProgramState(initial_state, 0))
  if state is None:
    state = ProgramState(initial_state, 0)
    await state_manager.save(state, 0)
  if state.round_number < last_released:
    raise errors.UserError(
      f'Rounds up to {last_released} were released, but the last checkpoint is'
      f' of round {state.round_number}: repeating rounds would spend privacy'
      ' that no epsilon accounts for. Restore the checkpoints, or give another'
      ' --output_dir.'
    )
  if state.round_number > last_released:
    await release(state, {})
  while state.round_number < rounds:
    number = int(state.round_number) + 1
    output = next_round(state.learning, cohorts(number))
    state = ProgramState(output.state, number)
    await state_manager.save(state, number)
    await release(state, round_metrics(number, output.metrics))
  return state
