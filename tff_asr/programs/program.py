"""The federated program, wired: a process, its clients, a runtime, a folder.

The order of things is in `program_logic.py`, what a round computes in
`learning/federated.py`.
"""

import asyncio
from collections.abc import Callable, Sequence
import dataclasses

import tensorflow_federated as tff

from tff_asr import errors
from tff_asr.corpora import batching, client_datasets, client_store
from tff_asr.executors import map_reduce
from tff_asr.learning import federated
from tff_asr.models import transformer
from tff_asr.privacy import plans, settings
from tff_asr.privacy.accounting import ledger
from tff_asr.privacy.mechanism import bounds
from tff_asr.privacy.sampling import cohorts as cohorts_lib
from tff_asr.programs import (
  execution,
  json_log,
  program_logic,
  progress,
  recorded_rounds,
  round_metrics,
  stopping,
  tensorboard,
)
from tff_asr.runs import checkpoints, columns, folders, metrics_file


@dataclasses.dataclass(frozen=True)
class RoundsConfig:
  """Settings of the rounds.

  Attributes:
    rounds: Number of rounds.
    batches: Size and number of a client's batches.
    federated: Optimizers.
    precision: What training computes in, one of `precision.NAMES`.
    privacy: Sampling, clipping, noise and budget.
    evaluate_every: Rounds between evaluations.
    evaluate_clients: Number of held-out speakers of an evaluation between
      rounds, 0 for all.
    checkpoint_every: Rounds between checkpoints.
    keep_checkpoints: Number of checkpoints to keep, besides the best.
    execution: What the rounds run on.
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


def run(
  config: RoundsConfig,
  plan: plans.PrivacyPlan | None,
  run_ledger: ledger.Ledger | None,
  cohorts: cohorts_lib.Cohorts,
  run_folder: folders.RunFolder,
  store: client_store.ClientStore,
  rehearsal: Sequence[str],
  encoder: transformer.Transformer,
  devices: list[str],
  error_rates: Callable[[], program_logic.Metrics],
  verify: Callable[[], None],
  log: json_log.JsonLog | None = None,
) -> int:
  """Runs the rounds that are still to do.

  Args:
    config: Settings.
    plan: The privacy plan, if there is one.
    run_ledger: Where what is released is recorded, with a plan.
    cohorts: Says who takes part in a round.
    run_folder: Where checkpoints and metrics are.
    store: The clients.
    rehearsal: Speakers of the store to whom nothing is promised.  Under a
      guarantee one of them trains first, for nothing: an error that clients
      have in common shows, and those of single clients never do.
    encoder: Has the weights to begin with, and the last ones afterwards.
    devices: What `execution.select` gave.
    error_rates: Evaluates `encoder` as it is.
    verify: Raises a `UserError` if the data are damaged; called before anything
      made of them is kept.
    log: Gets the metrics of each round as well.

  Returns:
    The number of rounds done, by all calls.

  Raises:
    Stopped: If a signal asked for it; the rounds until then are saved.
    UserError: If more clients fail than may.
  """
  process = federated.build_learning_process(
    encoder.config, config.federated, plan, config.precision
  )
  seed = config.privacy.insecure_cohort_seed
  batches = client_datasets.dataset_computation(
    store,
    config.batches,
    seed,
    portable=config.execution.executor == execution.NATIVE,
  )
  composed = tff.simulation.compose_dataset_computation_with_learning_process(
    batches, process
  )
  released = round_metrics.RoundMetrics(
    transformer.layer_sizes(encoder), plan, run_ledger
  )
  if plan:
    rounds = recorded_rounds.RecordedRounds(
      plan, run_ledger, config.privacy.budget
    )
  else:
    rounds = recorded_rounds.UnrecordedRounds(config.rounds)

  def evaluate(state) -> program_logic.Metrics:
    encoder.set_weights(process.get_model_weights(state).trainable)
    rates = error_rates()
    verify()
    return rates

  def cohort_of(number):
    clients = cohorts(number)
    if seed is None:
      return clients
    return [client_datasets.in_round(c, number) for c in clients]

  def client_seconds(name):
    client_id = name if seed is None else client_datasets.client_of(name)
    return store.client_seconds[client_id]

  def next_round(state, cohort):
    # Otherwise all clients would fail, round after round, each for itself.
    store.check_can_be_read()
    try:
      output = composed.next(state, cohort)
    except map_reduce.ExecutionError as error:
      raise errors.UserError(
        f'A round cannot be completed: {errors.in_a_line(error)}. Those'
        ' before are saved: mend the data and call again, or allow for more'
        ' clients that fail (--max_bad_clients).'
      ) from error
    verify()
    return output

  promises = plan is not None and plan.is_guarantee
  running = config.execution.running(devices, client_seconds, promises)
  with running as runtime, stopping.StopRequest() as stop:
    print(f'The rounds run on {runtime.description}.')
    initial_state = process.set_model_weights(
      process.initialize(),
      tff.learning.models.ModelWeights(
        trainable=[w.numpy() for w in encoder.trainable_variables],
        non_trainable=[],
      ),
    )
    metrics = metrics_file.MetricsFile(
      run_folder.metrics,
      saved=lambda: checkpoints.figures(run_folder.checkpoints),
    )
    last_released = metrics.last_round
    if promises and rehearsal and last_released < config.rounds:
      # No client may tell that all of them fail, for instance of no memory.
      longest = max(rehearsal, key=store.client_seconds.get)
      with runtime.strictly():
        next_round(
          initial_state,
          [longest if seed is None else client_datasets.in_round(longest, 0)],
        )
    with progress.Progress(
      config.rounds,
      config.privacy.cohort_size,
      shows_time=columns.client_prefix(plan) is not None,
    ) as bar:
      state = asyncio.run(
        program_logic.train(
          next_round=next_round,
          initial_state=initial_state,
          last_released=last_released,
          cohorts=cohort_of,
          rounds=rounds,
          checkpoints=checkpoints.Checkpoints(
            run_folder.checkpoints, config.keep_checkpoints
          ),
          checkpoint_every=config.checkpoint_every,
          release_managers=[
            metrics,
            tensorboard.TensorBoard(run_folder.tensorboard),
            *([log] if log else []),
          ],
          round_metrics=released,
          evaluate=evaluate,
          evaluate_every=config.evaluate_every,
          on_round=bar.show,
          timed=released.timed,
          should_stop=stop.is_made,
        )
      )
    if stop.is_made() and state.round_number < config.rounds:
      raise stopping.Stopped(
        f'Stopped after round {state.round_number} of {config.rounds}: the same'
        ' command goes on.',
        stop.signal,
      )
    encoder.set_weights(process.get_model_weights(state.learning).trainable)
    if released.bounds:
      bounds.write(run_folder.layer_bounds, released.bounds)
    return int(state.round_number)
