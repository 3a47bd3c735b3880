"""A training run: stores, seed model, federated rounds, evaluation, report."""

import asyncio
from collections.abc import Mapping
import dataclasses
import pathlib
import random
import time

import tensorflow as tf
import tensorflow_federated as tff
import tqdm

from tff_asr import compat, errors
from tff_asr.corpora import client_datasets
from tff_asr.corpora import cohorts as cohorts_lib
from tff_asr.corpora import store as store_lib
from tff_asr.executors import native
from tff_asr.learning import central, evaluation, federated
from tff_asr.models import model_folder, precision, presets, transformer
from tff_asr.privacy import plan as plan_lib
from tff_asr.programs import program_logic, report
from tff_asr.programs import run_folder as run_folder_lib

# A call on an existing run may ask for more rounds.
_MAY_CHANGE = frozenset(['rounds'])


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """What a run does.

  Attributes:
    train_store: Store of the clients.
    eval_store: Store of speakers who are in no round.
    output_dir: The run's folder.
    model: Name of a preset.
    precision: What training computes in, one of `precision.NAMES`.
    seed_model: Folder of the model to begin with, or `None`.
    seed_clients: Number of speakers of `train_store` set apart for a seed
      model; they are in no round.
    central: How the seed model is trained.
    rounds: Number of federated rounds.
    batches: Size and number of a client's batches.
    federated: Optimizers.
    sampling: `poisson` or `fixed`.
    cohort_size: Clients of a round, expected (`poisson`) or exact (`fixed`).
    clipping: `none`, `global` or `per_layer`.
    layer_bounds: `uniform` or `dim`.
    clip_norm: Bound on a client's whole update.
    noise_multiplier: Noise on the sum over `clip_norm`.
    delta: Of the privacy guarantee.
    evaluate_every: Rounds between evaluations.
    seed: Of initial weights and of the choice of seed speakers; never of noise
      or cohorts.
  """

  train_store: pathlib.Path
  eval_store: pathlib.Path
  output_dir: pathlib.Path
  model: str
  precision: str
  seed_model: pathlib.Path | None
  seed_clients: int
  central: central.CentralConfig
  rounds: int
  batches: client_datasets.BatchConfig
  federated: federated.FederatedConfig
  sampling: str
  cohort_size: int
  clipping: str
  layer_bounds: str
  clip_norm: float
  noise_multiplier: float
  delta: float
  evaluate_every: int
  seed: int

  def privacy_plan(self, population: int) -> plan_lib.PrivacyPlan | None:
    """Returns the plan, or `None` where updates are not clipped.

    Raises:
      UserError: If no true guarantee can be made of the settings.
    """
    if self.clipping == 'none':
      if self.noise_multiplier:
        raise errors.UserError(
          '--noise_multiplier without --clipping protects nobody: one update'
          ' may be of any size. Give --clipping=per_layer or'
          ' --noise_multiplier=0.'
        )
      return None
    if self.sampling != 'poisson' and self.noise_multiplier:
      raise errors.UserError(
        f'The epsilon of --sampling={self.sampling} is not known here: noise'
        ' goes with --sampling=poisson.'
      )
    return plan_lib.PrivacyPlan(
      population,
      self.cohort_size,
      self.clip_norm,
      self.noise_multiplier,
      self.delta,
      self.clipping,
      self.layer_bounds,
    )


def train(config: TrainConfig, flags: Mapping[str, str]) -> str:
  """Runs or goes on with a run; returns its result as text.

  Args:
    config: What to do.
    flags: Every flag in force, for the record.

  Raises:
    UserError: If the settings or the data cannot be used.
  """
  started = time.monotonic()
  precision.check(config.precision)
  train_store = store_lib.ClientStore(config.train_store)
  eval_store = store_lib.ClientStore(config.eval_store)
  _check_stores(train_store, eval_store)
  seed_ids, population = _split(train_store, config)
  plan = config.privacy_plan(len(population)) if config.rounds else None
  cohorts = _cohorts(config, population) if config.rounds else None
  released = report.last_round(config.output_dir / 'metrics.csv')
  if config.rounds < released:
    raise errors.UserError(
      f'{config.output_dir} has done {released} rounds, which cannot be undone:'
      f' --rounds={config.rounds} must be at least that.'
    )
  run_folder = run_folder_lib.RunFolder(
    config.output_dir,
    flags,
    {'train': train_store.digest, 'eval': eval_store.digest},
    _MAY_CHANGE,
  )
  print(f'Run folder: {run_folder.path}')
  print(
    f'{len(population)} clients in the population, {len(seed_ids)} seed'
    f' speakers, {len(eval_store.client_ids)} held-out speakers.'
  )
  if config.rounds:
    print(plan or 'No privacy: updates are neither clipped nor noised.')

  encoder = _seed_model(config, run_folder, train_store, seed_ids)
  evaluator = evaluation.Evaluator(encoder, train_store.vocabulary)
  if cohorts:
    _federated_rounds(
      config,
      plan,
      cohorts,
      run_folder,
      train_store,
      encoder,
      lambda: evaluation.error_rates(evaluator.transcribe(eval_store)),
    )
  model_folder.save(run_folder.model, encoder, train_store.vocabulary)
  return report.write(
    run_folder,
    plan,
    rounds=config.rounds,
    transcripts=evaluator.transcribe(eval_store),
    minutes=(time.monotonic() - started) / 60,
  )


def _check_stores(train_store, eval_store) -> None:
  if train_store.vocabulary != eval_store.vocabulary:
    raise errors.UserError(
      f'{train_store.path} and {eval_store.path} were prepared with different'
      ' vocabularies: prepare one of them again.'
    )
  shared = sorted(set(train_store.client_ids) & set(eval_store.client_ids))
  if shared:
    raise errors.UserError(
      f'{len(shared)} speakers are in both {train_store.path} and'
      f' {eval_store.path} (first: {shared[0]}): evaluation speakers must be'
      ' held out.'
    )


def _split(
  store: store_lib.ClientStore, config: TrainConfig
) -> tuple[list[str], list[str]]:
  """Returns the seed speakers and the population, disjoint."""
  clients = store.client_ids
  if not 0 <= config.seed_clients <= len(clients):
    raise errors.UserError(
      f'--seed_clients={config.seed_clients} of the {len(clients)} clients in'
      f' {store.path}.'
    )
  if config.seed_clients and config.seed_model:
    raise errors.UserError(
      '--seed_model and --seed_clients were both given: either load the seed'
      ' model or train it.'
    )
  if config.rounds and config.seed_clients == len(clients):
    raise errors.UserError(
      f'--seed_clients={config.seed_clients} leaves nobody for the'
      f' {config.rounds} federated rounds: give fewer, or --rounds=0.'
    )
  seed_ids = random.Random(config.seed).sample(clients, config.seed_clients)
  apart = set(seed_ids)
  return sorted(seed_ids), [c for c in clients if c not in apart]


def _cohorts(config: TrainConfig, population: list[str]) -> cohorts_lib.Cohorts:
  if not 1 <= config.cohort_size <= len(population):
    raise errors.UserError(
      f'--cohort_size={config.cohort_size} of a population of'
      f' {len(population)} clients.'
    )
  if config.sampling == 'poisson':
    return cohorts_lib.poisson(population, config.cohort_size / len(population))
  return cohorts_lib.fixed_size(population, config.cohort_size)


def _seed_model(
  config: TrainConfig,
  run_folder: run_folder_lib.RunFolder,
  store: store_lib.ClientStore,
  seed_ids: list[str],
) -> transformer.Transformer:
  """Returns the model the rounds begin with, kept in the run's folder."""
  if model_folder.is_complete(run_folder.seed_model):
    return _load_seed(run_folder.seed_model, store, config.precision)
  if config.seed_model:
    encoder = _load_seed(config.seed_model, store, config.precision)
  else:
    tf.keras.utils.set_random_seed(config.seed)
    encoder = transformer.build(
      presets.preset(config.model, store.vocabulary.size), config.precision
    )
    if seed_ids:
      _train_centrally(config, encoder, store, seed_ids)
  model_folder.save(run_folder.seed_model, encoder, store.vocabulary)
  return encoder


def _load_seed(
  folder: pathlib.Path, store: store_lib.ClientStore, precision_name: str
) -> transformer.Transformer:
  encoder, vocabulary = model_folder.load(folder, precision_name)
  if vocabulary != store.vocabulary:
    raise errors.UserError(
      f'The model in {folder} and the store {store.path} have different'
      ' vocabularies: prepare the store with that of the model.'
    )
  return encoder


def _train_centrally(config, encoder, store, seed_ids) -> None:
  epochs = config.central.epochs
  with tqdm.tqdm(total=epochs, desc='seed model', unit='epoch') as bar:

    def on_epoch(number: int, loss: float) -> None:
      del number
      bar.set_postfix_str(f'loss {loss:.1f}')
      bar.update()

    epoch = central.batches(store, seed_ids, config.central)
    central.train(encoder, epoch, config.central, on_epoch)


def _federated_rounds(
  config: TrainConfig,
  plan: plan_lib.PrivacyPlan | None,
  cohorts: cohorts_lib.Cohorts,
  run_folder: run_folder_lib.RunFolder,
  store: store_lib.ClientStore,
  encoder: transformer.Transformer,
  rates,
) -> None:
  """Runs the rounds; `encoder` has the last weights afterwards."""
  layers = [_layer_name(w) for w in encoder.trainable_variables]
  process = federated.build_learning_process(
    encoder.config, config.federated, plan, config.precision
  )
  data = client_datasets.federated_batches(store, config.batches)
  composed = tff.simulation.compose_dataset_computation_with_learning_process(
    data.dataset_computation, process
  )

  def round_metrics(number: int, metrics) -> program_logic.Metrics:
    released = {
      f'norm/{layer}': float(norm)
      for layer, norm in zip(
        layers, metrics['aggregator']['layer_norms'], strict=True
      )
    }
    if plan is None:
      released['loss'] = float(metrics['client_work']['train']['loss'])
    elif plan.noise_multiplier:
      released['epsilon'] = plan.epsilon(number)
    return released

  def evaluate(state) -> program_logic.Metrics:
    encoder.set_weights(process.get_model_weights(state).trainable)
    total = rates()
    return {'wer': total.wer, 'cer': total.cer}

  worker = native.set_native_context()
  try:
    initial_state = process.set_model_weights(
      process.initialize(),
      tff.learning.models.ModelWeights(
        trainable=[w.numpy() for w in encoder.trainable_variables],
        non_trainable=[],
      ),
    )
    with tqdm.tqdm(total=config.rounds, desc='federated', unit='round') as bar:

      def on_round(number: int, metrics: program_logic.Metrics) -> None:
        bar.update(number - bar.n)
        if 'wer' in metrics:
          bar.write(_evaluation_line(number, metrics))

      state = asyncio.run(
        program_logic.train(
          next_round=composed.next,
          initial_state=initial_state,
          last_released=report.last_round(run_folder.metrics),
          cohorts=cohorts,
          rounds=config.rounds,
          state_manager=compat.FileProgramStateManager(
            run_folder.checkpoints, keep_total=2, keep_first=False
          ),
          release_managers=[
            compat.CSVFileReleaseManager(
              run_folder.metrics, key_fieldname='round'
            ),
            compat.TensorBoardReleaseManager(run_folder.tensorboard),
          ],
          round_metrics=round_metrics,
          evaluate=evaluate,
          evaluate_every=config.evaluate_every,
          on_round=on_round,
        )
      )
    encoder.set_weights(process.get_model_weights(state.learning).trainable)
  finally:
    worker.stop()


def _evaluation_line(number: int, metrics: program_logic.Metrics) -> str:
  line = (
    f'round {number:4d}  WER {metrics["wer"]:6.1%}  CER {metrics["cer"]:6.1%}'
  )
  if 'epsilon' in metrics:
    line += f'  epsilon {metrics["epsilon"]:.4g}'
  return line


def _layer_name(weight: tf.Variable) -> str:
  """`block_0/qkv` for a variable named `transformer/block_0/qkv:0`."""
  return weight.name.split(':')[0].partition('/')[2]
