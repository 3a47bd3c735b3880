"""Trains a model: stores, seed model, federated rounds, evaluation, report."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import functools
import json
import pathlib
import time

import tqdm

from tff_asr import checksums, counts, durable, errors
from tff_asr.corpora import content_check
from tff_asr.learning import central, seed_models
from tff_asr.models import model_folder, precision, presets
from tff_asr.models.encoder import Encoder, EncoderConfig
from tff_asr.programs import (
  held_out,
  program,
  program_logic,
  release_managers,
)
from tff_asr.reports import model_card, run_report
from tff_asr.runs import (
  accounts,
  folders,
  lineage,
  metrics_file,
  participants,
  run_privacy,
)

# A later call on a run may ask for more rounds or another budget, may name
# further runs (the ledger keeps all earlier ones), and may use other devices.
_MAY_CHANGE = frozenset(
  [
    *('rounds', 'max_epsilon', 'prior_ledger'),
    *('executor', 'devices', 'clients_per_device'),
    *('max_bad_clients', 'checkpoint_every', 'keep_checkpoints', 'log_json'),
    'private_details',
  ]
)


@dataclasses.dataclass(frozen=True)
class TrainConfig(program.RoundsConfig):
  """Configures a run, including its rounds.

  Attributes:
    train_store: Store of the clients.
    eval_store: Store of the held-out speakers, who are in no round.
    output_dir: Folder of the run.
    model: Name of a preset.
    regularisation: Rates of `dropout` and `layer_drop` in training; they
      replace the rates of the preset or of the given model.
    seed_model: Folder of the initial model, or `None`.
    seed_clients: Number of speakers of `train_store` set apart for a seed
      model, or `speakers.ALL`; they are in no round.
    central: Settings for training the seed model on the seed speakers, or for
      training the given model further on them.
    seed: Random seed of the initial weights and of the choice of seed speakers;
      never of noise or cohorts.
    private_details: Whether to write a second page, with names, words and
      paths.
  """

  train_store: pathlib.Path
  eval_store: pathlib.Path
  output_dir: pathlib.Path
  model: str
  regularisation: Mapping[str, float]
  seed_model: pathlib.Path | None
  seed_clients: int
  central: central.CentralConfig
  seed: int
  private_details: bool = False

  def encoder(self, vocabulary_size: int) -> EncoderConfig:
    """Returns the sizes of a new encoder.

    Raises:
      UserError: If the preset does not exist, or lacks one of the rates.
    """
    preset = presets.preset(self.model, vocabulary_size)
    return preset.with_regularisation(self.regularisation)


def train(
  config: TrainConfig,
  flags: Mapping[str, str],
  log: release_managers.JsonLog | None = None,
) -> str:
  """Runs or resumes a run; returns its result as text.

  Args:
    config: Settings of the run.
    flags: Every flag in force, for the record of the run.
    log: Also receives the start, the rounds and the result, if given.

  Raises:
    UserError: If the settings or the data cannot be used.
  """
  with content_check.ContentCheck() as check:
    return _train(config, flags, log, check)


@dataclasses.dataclass(frozen=True)
class _Run:
  """Holds a run with checked settings and an open folder.

  Attributes:
    config: Settings of the run.
    chosen: The speakers.
    privacy: The privacy plan and the cohorts.
    folder: Folder of the run, locked.
    account: The privacy account, with the ledger.
    check: Check of the stores, in the background.
    log: Also receives the rounds, if given.
  """

  config: TrainConfig
  chosen: participants.Participants
  privacy: run_privacy.RunPrivacy
  folder: folders.RunFolder
  account: accounts.Account
  check: content_check.ContentCheck
  log: release_managers.JsonLog | None


def _train(
  config: TrainConfig,
  flags: Mapping[str, str],
  log: release_managers.JsonLog | None,
  check: content_check.ContentCheck,
) -> str:
  started = time.monotonic()
  # First: settings that were forgotten in a resumed run have other errors, too.
  folders.check(config.output_dir, flags, _MAY_CHANGE)
  devices = config.execution.select(
    trains_clients=config.rounds > 0, promises=config.promises
  )
  precision.check(config.precision)
  loader = seed_models.Loader(config.precision, config.regularisation)
  chosen = _choose(config, loader)
  privacy = run_privacy.settle(
    config.privacy,
    config.rounds,
    chosen,
    config.output_dir,
    functools.partial(_layers, config, chosen),
  )
  folder = _open_folder(config, flags, chosen)
  check.begin(chosen.eval_store, chosen.train_store)
  account = _open_account(config, chosen, privacy, folder)
  run = _Run(config, chosen, privacy, folder, account, check, log)
  trained_on = chosen.record_seed(folder.seed_model)
  encoder = _seed_model(run, loader)
  speakers = held_out.HeldOut(
    encoder, chosen.eval_store, chosen.evaluated_between
  )
  checksums.remove(folder.summary)  # An earlier call may have left one.
  rounds = _run_rounds(run, encoder, speakers.rates_between, devices)
  _save_model(run, encoder, trained_on)
  # Otherwise the first row of the metrics has the seed model's error rates.
  with_seed = rounds and config.evaluate_clients
  results = speakers.evaluate(folder.seed_model if with_seed else None)
  return _write_report(run, rounds, results, started)


def _choose(
  config: TrainConfig, loader: seed_models.Loader
) -> participants.Participants:
  return participants.choose(
    config.train_store,
    config.eval_store,
    config.output_dir,
    seed_model=config.seed_model,
    loader=loader,
    seed_clients=config.seed_clients,
    evaluate_clients=config.evaluate_clients,
    seed=config.seed,
    rounds=config.rounds,
    promises=config.promises,
  )


def _layers(
  config: TrainConfig, chosen: participants.Participants
) -> dict[str, int]:
  """Returns the sizes of the layers of the model, which need not exist yet."""
  if chosen.given:
    return chosen.given.layer_sizes()
  return config.encoder(chosen.train_store.vocabulary.size).layer_sizes()


def _open_folder(
  config: TrainConfig,
  flags: Mapping[str, str],
  chosen: participants.Participants,
) -> folders.RunFolder:
  """Makes or opens the run's folder.

  Raises:
    UserError: If the folder is of another run, or has more rounds than the
      settings ask for.
  """
  released = max(
    metrics_file.readable(config.output_dir / 'metrics.csv'), default=-1
  )
  errors.require(
    config.rounds >= released,
    f'{config.output_dir} has done {counts.text(released, "round")}, which'
    f' cannot be undone: give at least `rounds={released}`, and not'
    f' {config.rounds}.',
  )
  return folders.RunFolder(
    config.output_dir,
    flags,
    {'train': chosen.train_store.digest, 'eval': chosen.eval_store.digest},
    _MAY_CHANGE,
    chosen.names,
  )


def _open_account(
  config: TrainConfig,
  chosen: participants.Participants,
  privacy: run_privacy.RunPrivacy,
  folder: folders.RunFolder,
) -> accounts.Account:
  """Opens the run's ledger; prints the participants and the privacy plan."""
  print(f'Run folder: {folder.path}')
  print(chosen.in_words())
  account = privacy.open_account(folder)
  if account.plan:
    print(account.plan_text())
  elif config.rounds:
    print('No privacy: the updates are neither clipped nor noised.')
  if account.is_unprotected:
    durable.write_text(folder.unprotected, f'{accounts.UNPROTECTED_NOTE}\n')
  return account


def _seed_model(run: _Run, loader: seed_models.Loader) -> Encoder:
  """Returns the initial model of the rounds."""
  config, store = run.config, run.chosen.train_store
  return seed_models.get(
    run.folder.seed_model,
    store,
    loader,
    lambda: (
      run.chosen.given
      or config.encoder(store.vocabulary.size).build(config.precision)
    ),
    seed_models.SeedTraining(
      run.chosen.seed_ids,
      config.central,
      config.seed,
      progress=_seed_progress(config.central, len(run.chosen.seed_ids)),
      before_saving=run.check.wait,
    ),
  )


@contextlib.contextmanager
def _seed_progress(
  config: central.CentralConfig,
  speakers: int,
) -> Iterator[Callable[[int, int, float], None]]:
  """Shows a progress bar; yields a function that `central.train` calls."""
  steps = config.steps
  total, unit = steps or config.epochs, 'step' if steps else 'epoch'
  print(
    f'The seed model trains on {counts.text(speakers, "speaker")} for'
    f' {counts.text(total, unit)}.'
  )
  with tqdm.tqdm(
    total=total, desc='seed model', unit=unit, disable=None
  ) as bar:

    def on_epoch(number: int, steps_done: int, loss: float) -> None:
      bar.set_postfix_str(f'loss {loss:.1f}')
      bar.update((steps_done if steps else number) - bar.n)

    yield on_epoch


def _run_rounds(
  run: _Run,
  encoder: Encoder,
  error_rates: Callable[[], program_logic.Metrics],
  devices: list[str],
) -> int:
  """Runs the federated rounds, if any; returns how many are done."""
  planned, population = run.config.rounds, run.chosen.population
  if run.log:
    run.log.write(
      'start',
      run=str(run.folder.path),
      rounds=planned,
      population=len(population),
    )
  if not run.privacy.cohorts:
    return 0
  parts = program.Parts(
    account=run.account,
    cohorts=run.privacy.cohorts,
    paths=folders.RunPaths(run.folder.path),
    store=run.chosen.train_store,
    rehearsal=run.chosen.without_promise,
    encoder=encoder,
    devices=devices,
    error_rates=error_rates,
    verify=run.check.wait,
    log=run.log,
  )
  rounds = program.run(run.config, parts)
  if rounds < planned:
    print(
      f'Stopped after {rounds} of {counts.text(planned, "round")}: the next'
      f' would raise epsilon above {run.config.privacy.budget.limit:g}.'
    )
  return rounds


def _save_model(
  run: _Run, encoder: Encoder, trained_on: lineage.Lineage
) -> None:
  """Saves the record of the trainings, then the final model."""
  if run.privacy.cohorts:
    private = run.privacy.is_guarantee
    trained_on += lineage.trainings(
      run.chosen.names,
      unprotected=() if private else run.chosen.population,
      ledger=run.account.ledger.name if private else None,
    )
  run.check.wait()
  lineage.write(run.folder.model, trained_on)
  vocabulary = run.chosen.train_store.vocabulary
  model_folder.save(run.folder.model, encoder, vocabulary)


def _write_report(
  run: _Run, rounds: int, results: held_out.Results, started: float
) -> str:
  """Writes the report and the final figures; returns the figures as a table."""
  config, chosen = run.config, run.chosen
  if run.account.ledger:  # Earlier runs may have released more since then.
    run.account.ledger.read_priors()
  table = run_report.write(
    run.folder,
    run.account,
    rounds,
    results.transcripts,
    minutes=(time.monotonic() - started) / 60,
    provenance=model_card.provenance(
      chosen.train_store,
      chosen.eval_store,
      chosen.seed_ids,
      chosen.population if config.rounds else (),
      promises=run.privacy.is_guarantee,
    ),
    seed_rates=results.seed_rates,
    private_details=config.private_details,
  )
  if run.log:
    run.log.write('result', **json.loads(run.folder.summary.read_text()))
  return table
