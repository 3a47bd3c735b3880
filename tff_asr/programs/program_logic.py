"""Defines the federated program: rounds, checkpoints, releases, evaluation.

TFF's `tff.learning.programs.train_model` asks for cohorts of a fixed size,
releases the un-noised training metrics of every round, and evaluates by a
federated computation.  Here, cohorts are Poisson-sampled, the privacy plan
decides the released metrics, and error rates are computed from text.
"""

from collections.abc import Callable, Sequence
import dataclasses
import json
import time
from typing import Any, NamedTuple, Protocol

from absl import logging

from tff_asr import compat, errors
from tff_asr.privacy.sampling import samplers
from tff_asr.runs import columns

Metrics = dict[str, float]

_LOWER_RATES = (
  ' with a lower `server_learning_rate` or `client_learning_rate` and another'
  ' `output_dir`'
)


class ProgramState(NamedTuple):
  """The state of the program after a round.

  The next round depends on nothing else.

  Attributes:
    learning: State of the learning process.
    round_number: Number of rounds done.
    entry: Result of `Rounds.record` for the last round, empty before the first.
    metrics: Metrics of the last round as JSON.  A resumed program releases
      them if the earlier one did not.
  """

  learning: Any
  round_number: int
  entry: str
  metrics: str


class Rounds(Protocol):
  """Limits the rounds of a run, and records the rounds that were done."""

  def check_fits(self, number: int, entry: str) -> None:
    """Raises a `UserError` unless the last round of a state is recorded."""

  def last_round(self, done: int) -> int:
    """Returns the last allowed round, at least `done`; it never rises."""

  def record(self, number: int) -> str:
    """Records a round permanently; returns the id of the entry."""


class Checkpoints(Protocol):
  """Keeps the states of the program; see `checkpoints.Checkpoints`."""

  async def get_versions(self) -> list[int] | None:
    """Returns the rounds that have a checkpoint, or `None` without any."""

  async def load_latest(self, structure: Any) -> tuple[Any, int]:
    """Returns the newest readable state and its round, or `(None, 0)`."""

  async def save(self, program_state: Any, version: int) -> None:
    """Saves a state as a checkpoint."""

  def offer_best(self, version: int, wer: float) -> None:
    """Keeps the checkpoint of a round as the best if its WER is the lowest."""

  def note_diverged(self, version: int) -> None:
    """Notes permanently that a round diverged."""

  def diverged(self) -> int | None:
    """Returns the first round that diverged, or `None`."""


@dataclasses.dataclass(frozen=True)
class Program:
  """The parts of the program.

  Attributes:
    next_round: Maps a learning state and a cohort to TFF's
      `LearningProcessOutput`.
    initial_state: Learning state of round 0.
    last_released: Last round whose metrics an earlier command released, or -1
      without any.
    cohorts: Samples the clients of a round.
    rounds: Limits and records the rounds.
    checkpoints: Saves and loads a `ProgramState` for each round.
    checkpoint_every: Rounds between checkpoints.  A round that is evaluated,
      and the last round before a stop, also have a checkpoint.
    release_managers: Receive the metrics of every round.
    round_metrics: Maps TFF's metrics of a round, and the seconds that the round
      took, to the released metrics.
    evaluate: Maps a learning state to metrics.
    evaluate_every: Rounds between evaluations.  Round 0 and the last round are
      also evaluated.
    on_round: Called after each release with the round and its metrics.
    timed: Maps the name of a duration and its seconds to the released metrics.
    should_stop: Called after each round; a true result ends the program.
    fault: Maps a learning state to the fault of its model in words, or `None`.
      The model after a round is a release, so its fault reveals nothing more.
  """

  next_round: Callable[[Any, list[str]], Any]
  initial_state: Any
  last_released: int
  cohorts: samplers.Cohorts
  rounds: Rounds
  checkpoints: Checkpoints
  checkpoint_every: int
  release_managers: Sequence[compat.ReleaseManager]
  round_metrics: Callable[[Any, float], Metrics]
  evaluate: Callable[[Any], Metrics]
  evaluate_every: int
  on_round: Callable[[int, Metrics], None]
  timed: Callable[[str, float], Metrics] = lambda name, s: {name: s}
  should_stop: Callable[[], bool] = lambda: False
  fault: Callable[[Any], str | None] = lambda learning: None

  async def train(self) -> ProgramState:
    """Runs the remaining rounds; returns the last state.

    A round is recorded before its state is saved, and its state is saved before
    any result of the round is released.  So the record has every round whose
    result was seen.  An interrupted run resumes from the last checkpoint.  The
    rounds after the checkpoint are repeated, and recorded again.

    A round whose model has a fault ends the program.  The round stays recorded,
    its state is not saved and not released, and no later command repeats it.

    Raises:
      UserError: If rounds were released, but no checkpoint exists, or if a
        model has a fault.
    """
    state, timing = await self._begin()
    last = self.rounds.last_round(int(state.round_number))
    if state.round_number > self.last_released:
      await self._release(state, timing, last)
    self._check_not_diverged(state, last)
    is_stopped = self.should_stop()
    while state.round_number < last and not is_stopped:
      number = int(state.round_number) + 1
      cohort, started = self.cohorts(number), time.monotonic()
      output = self.next_round(state.learning, cohort)
      seconds = time.monotonic() - started
      entry = self.rounds.record(number)
      last = self.rounds.last_round(number)  # Other runs may have released.
      fault = self.fault(output.state)
      if fault:
        await self._keep_before(state, number)
        raise self._diverged(state, number, f'the model {fault}')
      metrics = json.dumps(self.round_metrics(output.metrics, seconds))
      state = ProgramState(output.state, number, entry, metrics)
      timing, is_stopped = {}, self.should_stop()
      if is_stopped or self._is_saved(number, last):
        timing = await self._save(state)
      await self._release(state, timing, last)
    return state

  def _is_evaluated(self, number: int, last: int) -> bool:
    return number % self.evaluate_every == 0 or number == last

  def _is_saved(self, number: int, last: int) -> bool:
    is_evaluated = self._is_evaluated(number, last)
    return number % self.checkpoint_every == 0 or is_evaluated

  async def _begin(self) -> tuple[ProgramState, Metrics]:
    """Returns the state to resume from, and the time that its saving took."""
    first = ProgramState(self.initial_state, 0, '', '{}')
    state, _ = await self.checkpoints.load_latest(first)
    if state is None:
      if self.last_released > 0:
        raise errors.UserError(
          f'Rounds up to {self.last_released} were released, but there is no'
          ' checkpoint: restore the checkpoints, or give another `output_dir`.'
        )
      self.rounds.check_fits(0, '')
      return first, await self._save(first)
    self.rounds.check_fits(int(state.round_number), str(state.entry))
    if state.round_number < self.last_released:
      logging.warning(
        'Metrics were released up to round %d, but the last checkpoint is of'
        ' round %d: the rounds after it are repeated.',
        self.last_released,
        state.round_number,
      )
    return state, {}

  def _check_not_diverged(self, state: ProgramState, last: int) -> None:
    """Checks that the rounds can resume from a state.

    Raises:
      UserError: If the state has a fault, or an earlier command found that the
        next rounds diverged.
    """
    done = int(state.round_number)
    fault = self.fault(state.learning)
    errors.require(
      fault is None,
      f'The model after round {done} {fault}, so no round can follow: start'
      f' another run{_LOWER_RATES}.',
    )
    number = self.checkpoints.diverged()
    if number is not None and done < number <= last:
      raise self._diverged(state, number, 'an earlier command found this')

  async def _keep_before(self, state: ProgramState, number: int) -> None:
    """Keeps the state before a round that diverged, and notes the round."""
    saved = await self.checkpoints.get_versions() or []
    if int(state.round_number) not in saved:
      await self._save(state)
    self.checkpoints.note_diverged(number)

  def _diverged(
    self, state: ProgramState, number: int, reason: str
  ) -> errors.UserError:
    """Returns the error of a round that diverged.

    Args:
      state: The last state that is kept.
      number: The round.
      reason: Sentence on the cause.
    """
    done = int(state.round_number)
    ways = f'Start another run{_LOWER_RATES}.'
    if self.last_released <= done > 0:
      ways = f'Give `rounds={done}` to finish with that model, or s{ways[1:]}'
    return errors.UserError(
      f'Training diverged in round {number}: {reason}. The model after round'
      f' {done} is kept. {ways} If this run has a ledger, name it in'
      ' `prior_ledger` of the other run: its releases count.'
    )

  async def _save(self, state: ProgramState) -> Metrics:
    started = time.monotonic()
    await self.checkpoints.save(state, int(state.round_number))
    return self.timed(columns.SAVING, time.monotonic() - started)

  async def _release(
    self, state: ProgramState, timing: Metrics, last: int
  ) -> None:
    number = int(state.round_number)
    metrics = json.loads(str(state.metrics)) | timing
    if self._is_evaluated(number, last):
      started = time.monotonic()
      metrics |= self.evaluate(state.learning)
      metrics |= self.timed(columns.EVALUATING, time.monotonic() - started)
    for manager in self.release_managers:
      await manager.release(metrics, number)
    if columns.WER in metrics:
      self.checkpoints.offer_best(number, metrics[columns.WER])
    self.on_round(number, metrics)
