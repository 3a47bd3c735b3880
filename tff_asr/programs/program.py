"""Runs the federated program with a process, clients, a runtime and a folder.

`program_logic.py` has the order of the steps.  `learning/federated.py` has the
computation of a round.
"""

import asyncio
from collections.abc import Callable, Sequence
import dataclasses
import secrets
from typing import Any

import tensorflow_federated as tff

from tff_asr import counts, errors
from tff_asr.corpora import batching, client_datasets, client_store
from tff_asr.executors import map_reduce
from tff_asr.learning import federated
from tff_asr.models import finiteness
from tff_asr.models.encoder import Encoder
from tff_asr.privacy import settings
from tff_asr.privacy.mechanism import bounds
from tff_asr.privacy.sampling import samplers
from tff_asr.programs import (
  execution,
  program_logic,
  progress,
  recorded_rounds,
  release_managers,
  round_metrics,
  stopping,
)
from tff_asr.runs import accounts, checkpoints, columns, folders, metrics_file


@dataclasses.dataclass(frozen=True)
class RoundsConfig:
  """Settings of the rounds.

  Attributes:
    rounds: Number of rounds.
    batches: Size and number of a client's batches.
    federated: Optimizers.
    precision: Number format in which training computes, one of
      `precision.NAMES`.
    privacy: Sampling, clipping, noise and budget.
    evaluate_every: Rounds between evaluations.
    evaluate_clients: Number of held-out speakers in an evaluation between
      rounds, 0 for all.
    checkpoint_every: Rounds between checkpoints.
    keep_checkpoints: Number of checkpoints to keep, besides the best.
    execution: Runtime and devices of the rounds.
  """

  rounds: int
  batches: batching.BatchConfig
  federated: federated.FederatedConfig
  precision: str
  privacy: settings.PrivacyConfig
  evaluate_every: int
  evaluate_clients: int
  checkpoint_every: int
  keep_checkpoints: int
  execution: execution.ExecutionConfig

  @property
  def promises(self) -> bool:
    """Whether the run has rounds, and the rounds will have a guarantee."""
    return self.rounds > 0 and self.privacy.promises


@dataclasses.dataclass(frozen=True)
class Parts:
  """The parts of a run that its rounds use.

  Attributes:
    account: The privacy plan and the ledger, if the run has a plan.
    cohorts: Samples the clients of a round.
    paths: Paths of the checkpoints and the metrics.
    store: Store of the clients.
    rehearsal: Speakers of the store without a guarantee.  Under a guarantee,
      one of these speakers trains first, and the result is dropped.  This
      training shows an error that all clients have in common.  The error of a
      single client is never shown.
    encoder: Has the initial weights at first, and the final weights afterwards.
    devices: The result of `ExecutionConfig.select`.
    error_rates: Evaluates `encoder` with its current weights.
    verify: Raises a `UserError` if the data are damaged; called before any
      result of the data is kept.
    log: Gets the metrics of each round as well; `None` for no log.
  """

  account: accounts.Account
  cohorts: samplers.Cohorts
  paths: folders.RunPaths
  store: client_store.ClientStore
  rehearsal: Sequence[str]
  encoder: Encoder
  devices: list[str]
  error_rates: Callable[[], program_logic.Metrics]
  verify: Callable[[], None]
  log: release_managers.JsonLog | None = None

  @property
  def promises(self) -> bool:
    """Whether the rounds have a guarantee."""
    plan = self.account.plan
    return plan is not None and plan.is_guarantee


def run(config: RoundsConfig, parts: Parts) -> int:
  """Runs the remaining rounds.

  Args:
    config: Settings of the rounds.
    parts: The parts of the run.

  Returns:
    The number of rounds done, by this and all earlier commands.

  Raises:
    Stopped: If a signal requested a stop; the rounds done so far are saved.
    UserError: If more clients fail than the settings allow, or the training
      diverges.
  """
  process = _Process(config, parts)
  running = config.execution.running(
    parts.devices, process.client_seconds(), parts.promises
  )
  with running as runtime, stopping.StopRequest() as stop:
    print(f'The rounds run on {runtime.description}.')
    state = _train(config, parts, process, runtime, stop)
    if stop.is_made() and state.round_number < config.rounds:
      raise stopping.Stopped(
        f'Stopped after round {state.round_number} of {config.rounds}. To'
        f' resume, repeat the command with `output_dir={parts.paths.path}`.',
        stop.signal,
      )
    process.give_weights(state.learning)
    if process.metrics.bounds:
      bounds.write(parts.paths.layer_bounds, process.metrics.bounds)
    return int(state.round_number)


def _train(
  config: RoundsConfig,
  parts: Parts,
  process: '_Process',
  runtime: execution.Runtime,
  stop: stopping.StopRequest,
) -> program_logic.ProgramState:
  initial_state = process.initial_state()
  metrics = metrics_file.MetricsFile(
    parts.paths.metrics,
    saved=lambda: checkpoints.figures(parts.paths.checkpoints),
  )
  recorded = max(metrics.last_round, 0)
  if recorded:
    print(f'{recorded} of {counts.text(config.rounds, "round")} are recorded.')
  if parts.promises and recorded < config.rounds:
    process.rehearse(initial_state, runtime)
  with progress.Progress(
    recorded,
    config.rounds,
    config.privacy.sampling.cohort_size,
    shows_time=columns.client_prefix(parts.account.plan) is not None,
  ) as bar:
    program = program_logic.Program(
      next_round=process.next_round,
      initial_state=initial_state,
      last_released=metrics.last_round,
      cohorts=process.cohort,
      rounds=_rounds(config, parts.account),
      checkpoints=checkpoints.Checkpoints(
        parts.paths.checkpoints, config.keep_checkpoints
      ),
      checkpoint_every=config.checkpoint_every,
      release_managers=[
        metrics,
        release_managers.TensorBoard(parts.paths.tensorboard),
        *([parts.log] if parts.log else []),
      ],
      round_metrics=process.metrics,
      evaluate=process.evaluate,
      evaluate_every=config.evaluate_every,
      on_round=bar.show,
      timed=process.metrics.timed,
      should_stop=stop.is_made,
      fault=process.fault,
    )
    return asyncio.run(program.train())


def _rounds(
  config: RoundsConfig, account: accounts.Account
) -> program_logic.Rounds:
  if account.plan is None:
    return recorded_rounds.UnrecordedRounds(config.rounds)
  return recorded_rounds.RecordedRounds(
    account.plan, account.ledger, config.privacy.budget.limit
  )


class _Process:
  """The learning process of a run, on the clients of its store.

  Attributes:
    metrics: Maps TFF's metrics of a round to the released metrics.
  """

  def __init__(self, config: RoundsConfig, parts: Parts):
    self._parts = parts
    self._process = federated.build_learning_process(
      parts.encoder.config,
      config.federated,
      parts.account.plan,
      config.precision,
      config.execution.loop,
    )
    seed = config.privacy.insecure_cohort_seed
    self._names = client_datasets.RoundNames(seed, are_fresh=parts.promises)
    if parts.promises:
      # A client that trains once more, after the failure of another client,
      # must draw the same: otherwise one client changes another's update.
      seed = secrets.randbits(client_datasets.SEED_BITS)
    batches = client_datasets.dataset_computation(
      parts.store,
      config.batches,
      seed,
      portable=config.execution.executor == execution.NATIVE,
    )
    self._composed = (
      tff.simulation.compose_dataset_computation_with_learning_process(
        batches, self._process
      )
    )
    self.metrics = round_metrics.RoundMetrics(
      parts.encoder.layer_sizes(),
      parts.account.plan,
      parts.account.ledger,
    )

  def initial_state(self) -> Any:
    """Returns the state of round 0, with the weights of the encoder."""
    weights = [w.numpy() for w in self._parts.encoder.trainable_variables]
    return self._process.set_model_weights(
      self._process.initialize(),
      tff.learning.models.ModelWeights(trainable=weights, non_trainable=[]),
    )

  def give_weights(self, state: Any) -> None:
    """Sets the weights of the encoder to the weights of a state."""
    weights = self._process.get_model_weights(state).trainable
    self._parts.encoder.set_weights(weights)

  def fault(self, state: Any) -> str | None:
    """Returns the fault of the model of a state, if it is not finite."""
    self.give_weights(state)
    return finiteness.fault(self._parts.encoder)

  def cohort(self, number: int) -> list[str]:
    """Samples the clients of a round; returns their names in the round."""
    return self._names.in_round(self._parts.cohorts(number), number)

  def client_seconds(self) -> Callable[[str], float]:
    """Returns a function from a client's name in a round to seconds of audio.

    TFF keeps the function after the run, so the function refers only to the
    durations and the names.
    """
    seconds, names = self._parts.store.client_seconds, self._names
    return lambda name: seconds[names.client_of(name)]

  def next_round(
    self, state: Any, cohort: Sequence[str]
  ) -> tff.learning.templates.LearningProcessOutput:
    """Trains on a cohort.

    Raises:
      UserError: If more clients fail than the settings allow, or the store is
        damaged.
    """
    # Without this check, an unreadable store would make all clients fail in
    # every round, each as a failure of its own.
    self._parts.store.check_can_be_read()
    try:
      output = self._composed.next(state, cohort)
    except map_reduce.ExecutionError as error:
      raise errors.UserError(
        f'A round cannot be completed: {errors.in_a_line(error)}. Earlier'
        ' rounds are saved: repair the data and repeat the command, or allow'
        ' more failing clients (`max_bad_clients`).'
      ) from error
    self._parts.verify()
    return output

  def rehearse(self, state: Any, runtime: execution.Runtime) -> None:
    """Trains on one speaker without a guarantee, and drops the result.

    This training shows an error that all clients have, such as too little
    memory.  In the rounds, no output may show that clients fail, even if all of
    them fail.

    Raises:
      UserError: If training on the speaker fails.
    """
    if not self._parts.rehearsal:
      return
    seconds = self._parts.store.client_seconds
    longest = max(self._parts.rehearsal, key=seconds.get)
    with runtime.strictly():
      self.next_round(state, self._names.in_round([longest], 0))

  def evaluate(self, state: Any) -> program_logic.Metrics:
    """Returns the error rates of a state."""
    self.give_weights(state)
    rates = self._parts.error_rates()
    self._parts.verify()
    return rates
