"""A training run: stores, seed model, federated rounds, evaluation, report."""

from collections.abc import Mapping, Sequence
import dataclasses
import json
import pathlib
import statistics
import time

import tensorflow as tf
import tqdm

from tff_asr import checksums, durable, errors
from tff_asr.corpora import client_store, content_check
from tff_asr.learning import central, evaluation
from tff_asr.models import model_folder, precision, presets, transformer
from tff_asr.privacy.accounting import earlier_runs, ledger
from tff_asr.programs import json_log, program, program_logic
from tff_asr.reports import model_card, run_report
from tff_asr.runs import (
  accounts,
  columns,
  folders,
  lineage,
  metrics_file,
  participants,
  whole_ledger,
)

# A call on an existing run may ask for more rounds or another budget, and tell
# of further runs; the ledger forgets none.  It may run elsewhere.
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
  """What a run does, its rounds among it.

  Attributes:
    train_store: Store of the clients.
    eval_store: Store of speakers who are in no round.
    output_dir: The run's folder.
    model: Name of a preset.
    chance: Rates of `dropout` and `layer_drop` that training is to have instead
      of the preset's or the given model's.
    seed_model: Folder of the model to begin with, or `None`.
    seed_clients: Number of speakers of `train_store` set apart for a seed
      model, or `speakers.ALL`; they are in no round.
    central: How the seed model, or a given one further, is trained on them.
    seed: Of initial weights and of the choice of seed speakers; never of noise
      or cohorts.
    private_details: Whether a second page has names, words and paths.
  """

  train_store: pathlib.Path
  eval_store: pathlib.Path
  output_dir: pathlib.Path
  model: str
  chance: Mapping[str, float]
  seed_model: pathlib.Path | None
  seed_clients: int
  central: central.CentralConfig
  seed: int
  private_details: bool = False

  def encoder(self, vocabulary_size: int) -> transformer.TransformerConfig:
    """Returns the sizes of a new encoder.

    Raises:
      UserError: If there is no such preset.
    """
    return dataclasses.replace(
      presets.preset(self.model, vocabulary_size), **self.chance
    )


def train(
  config: TrainConfig,
  flags: Mapping[str, str],
  log: json_log.JsonLog | None = None,
) -> str:
  """Runs or goes on with a run; returns its result as text.

  Args:
    config: What to do.
    flags: Every flag in force, for the record.
    log: Gets the beginning, the rounds and the result as well.

  Raises:
    UserError: If the settings or the data cannot be used.
  """
  with content_check.ContentCheck() as check:
    return _train(config, flags, log, check)


def _train(
  config: TrainConfig,
  flags: Mapping[str, str],
  log: json_log.JsonLog | None,
  check: content_check.ContentCheck,
) -> str:
  started = time.monotonic()
  devices = config.execution.select(
    trains_clients=config.rounds > 0,
    promises=bool(config.rounds) and config.privacy.promises,
  )
  precision.check(config.precision)
  train_store = client_store.ClientStore(config.train_store)
  eval_store = client_store.ClientStore(config.eval_store)
  participants.check_held_out(train_store, eval_store)
  heard_between = participants.sample(
    eval_store, config.evaluate_clients, config.seed
  )
  promises = bool(config.rounds) and config.privacy.promises
  names = lineage.names_of(train_store, config.output_dir, promises)
  given, trained_on = None, ()
  if config.seed_model:
    given = _load_seed(
      config.seed_model, train_store, config.precision, config.chance
    )
    trained_on = lineage.renamed(
      lineage.read(model_folder.find(config.seed_model)),
      train_store.digest,
      names,
    )
  seed_ids, population = participants.split(
    train_store,
    config.seed_clients,
    config.seed,
    left_out=lineage.unprotected(trained_on, names),
    promises=promises,
  )
  if config.rounds and not population:
    raise errors.UserError(
      f'--seed_clients={config.seed_clients} leaves nobody for the'
      f' {config.rounds} federated rounds: give fewer, or --rounds=0.'
    )
  plan = hypothetical = cohorts = run_ledger = None
  if config.rounds:
    for path in config.privacy.prior_ledgers if config.privacy.clipping else ():
      whole_ledger.check(path)
    plan = config.privacy.plan(
      len(population),
      config.rounds,
      config.output_dir / ledger.FILE_NAME,
    )
    cohorts = config.privacy.cohorts(plan, population)
  if plan:
    plan.query(_layers(config, given, train_store))  # Raises what it raises.
  if plan and plan.is_guarantee:
    hypothetical = config.privacy.hypothetical(plan)
    lineage.check_told(
      trained_on,
      names,
      earlier_runs.names(config.privacy.prior_ledgers),
    )
  lineage.check_evaluated(
    lineage.of_run(config.seed_model) if config.seed_model else (),
    eval_store,
    config.privacy.unprotected_metrics,
  )
  released = max(
    metrics_file.readable(config.output_dir / 'metrics.csv'), default=-1
  )
  if config.rounds < released:
    raise errors.UserError(
      f'{config.output_dir} has done {released} rounds, which cannot be undone:'
      f' --rounds={config.rounds} must be at least that.'
    )
  run_folder = folders.RunFolder(
    config.output_dir,
    flags,
    {'train': train_store.digest, 'eval': eval_store.digest},
    _MAY_CHANGE,
    names,
  )
  check.begin(eval_store, train_store)
  print(f'Run folder: {run_folder.path}')
  seed_speakers = len(train_store.client_ids) - len(population)
  count = len(eval_store.client_ids)
  held_out = f'{count} held-out speakers of {eval_store.path.name}'
  if config.evaluate_clients:
    held_out += f', {len(heard_between)} of them heard between rounds'
  print(
    f'{len(population)} clients in the population, {seed_speakers} seed'
    f' speakers, {held_out}.'
  )
  if plan:
    whole_ledger.check(run_folder.path)
    run_ledger = plan.open_ledger(
      run_folder.ledger, config.privacy.prior_ledgers
    )
  account = accounts.Account(plan, run_ledger, hypothetical)
  if plan:
    print(account.plan_text())
  elif config.rounds:
    print('No privacy: updates are neither clipped nor noised.')
  if plan and plan.unprotected_metrics:
    durable.write_text(run_folder.unprotected, f'{accounts.UNPROTECTED_NOTE}\n')

  if seed_ids:
    trained_on += lineage.trainings(names, seed_ids)
  if model_folder.is_complete(run_folder.seed_model):
    trained_on = lineage.check_seeds(
      run_folder.seed_model, trained_on, {train_store.digest, *names}
    )
  lineage.write(run_folder.seed_model, trained_on)
  encoder = _seed_model(config, run_folder, train_store, seed_ids, given, check)
  evaluator = evaluation.Evaluator(encoder, train_store.vocabulary)
  everybody = evaluation.batches(eval_store)
  some = evaluation.batches(eval_store, heard_between)
  checksums.remove(run_folder.summary)  # Of an earlier call.
  if log:
    log.write(
      'start',
      run=str(run_folder.path),
      rounds=config.rounds,
      population=len(population),
    )
  rounds = 0
  if cohorts:
    rounds = program.run(
      config,
      plan,
      run_ledger,
      cohorts,
      run_folder,
      train_store,
      sorted(set(train_store.client_ids) - set(population)),
      encoder,
      devices,
      lambda: _rates(evaluator.transcribe(some)),
      check.wait,
      log,
    )
  if rounds < config.rounds:
    print(
      f'Stopped after {rounds} of {config.rounds} rounds: the next would bring'
      f' epsilon above {config.privacy.budget:g}.'
    )
  if cohorts:
    private = plan is not None and plan.is_guarantee
    trained_on += lineage.trainings(
      names,
      unprotected=() if private else population,
      ledger=run_ledger.name if private else None,
    )
  check.wait()
  lineage.write(run_folder.model, trained_on)
  model_folder.save(run_folder.model, encoder, train_store.vocabulary)
  transcripts = evaluator.transcribe(everybody)
  seed_rates = None
  if (
    rounds and config.evaluate_clients
  ):  # The first row has some speakers only.
    seed_encoder, _ = model_folder.load(run_folder.seed_model)
    encoder.set_weights(seed_encoder.get_weights())
    seed_rates = evaluation.error_rates(evaluator.transcribe(everybody))
  if run_ledger:
    run_ledger.read_priors()  # They may have gone on since the last round.
  table = run_report.write(
    run_folder,
    account,
    rounds=rounds,
    transcripts=transcripts,
    seed_rates=seed_rates,
    minutes=(time.monotonic() - started) / 60,
    provenance=model_card.provenance(
      train_store,
      eval_store,
      seed_ids,
      population if config.rounds else (),
      promises=plan is not None and plan.is_guarantee,
    ),
    private_details=config.private_details,
  )
  if log:
    log.write('result', **json.loads(run_folder.summary.read_text()))
  return table


def _layers(
  config: TrainConfig,
  given: transformer.Transformer | None,
  store: client_store.ClientStore,
) -> dict[str, int]:
  """Sizes of the layers of the model, which need not exist yet."""
  if given:
    return transformer.layer_sizes(given)
  with tf.Graph().as_default():
    return transformer.layer_sizes(
      transformer.build(config.encoder(store.vocabulary.size))
    )


def _seed_model(
  config: TrainConfig,
  run_folder: folders.RunFolder,
  store: client_store.ClientStore,
  seed_ids: list[str],
  given: transformer.Transformer | None,
  check: content_check.ContentCheck,
) -> transformer.Transformer:
  """Returns the model the rounds begin with, kept in the run's folder."""
  if model_folder.is_complete(run_folder.seed_model):
    return _load_seed(
      run_folder.seed_model, store, config.precision, config.chance
    )
  tf.keras.utils.set_random_seed(config.seed)
  encoder = given or transformer.build(
    config.encoder(store.vocabulary.size), config.precision
  )
  if seed_ids:
    _train_centrally(config, encoder, store, seed_ids)
    check.wait()
  model_folder.save(run_folder.seed_model, encoder, store.vocabulary)
  return encoder


def _load_seed(
  folder: pathlib.Path,
  store: client_store.ClientStore,
  precision_name: str,
  chance: Mapping[str, float],
) -> transformer.Transformer:
  encoder, vocabulary = model_folder.load(folder, precision_name, chance)
  if vocabulary != store.vocabulary:
    raise errors.UserError(
      f'The model in {folder} and the store {store.path} have different'
      ' vocabularies: prepare the store with that of the model.'
    )
  return encoder


def _train_centrally(config, encoder, store, seed_ids) -> None:
  steps = config.central.steps
  with tqdm.tqdm(
    total=steps or config.central.epochs,
    desc='seed model',
    unit='step' if steps else 'epoch',
    disable=None,
  ) as bar:

    def on_epoch(number: int, steps_done: int, loss: float) -> None:
      bar.set_postfix_str(f'loss {loss:.1f}')
      bar.update((steps_done if steps else number) - bar.n)

    epoch = central.batches(store, seed_ids, config.central)
    central.train(encoder, epoch, config.central, on_epoch)


def _rates(
  transcripts: Sequence[evaluation.Transcript],
) -> program_logic.Metrics:
  rates = evaluation.error_rates(transcripts)
  loss = statistics.fmean(t.loss for t in transcripts)
  return {
    columns.WER: rates.wer,
    columns.CER: rates.cer,
    columns.EVAL_LOSS: loss,
  }
