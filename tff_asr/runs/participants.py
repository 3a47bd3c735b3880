"""Chooses the speakers of each part of a run; no speaker has two parts."""

import dataclasses
import pathlib

from tff_asr import counts, errors
from tff_asr.corpora import client_store, draws
from tff_asr.learning import seed_models
from tff_asr.models import model_folder
from tff_asr.models.encoder import Encoder
from tff_asr.runs import lineage

ALL = -1  # Number of seed speakers that stands for all.


@dataclasses.dataclass(frozen=True)
class Participants:
  """The speakers of a run, and the model from which the run starts.

  Attributes:
    train_store: Store of the seed speakers and of the clients.
    eval_store: Store of the held-out speakers.
    names: The run's names of `train_store`.
    seed_ids: Seed speakers, who have no guarantee.
    population: Clients that the rounds may sample.
    evaluate_clients: Number of held-out speakers in an evaluation between
      rounds, 0 for all.
    evaluated_between: The held-out speakers in an evaluation between rounds.
    seed_model: Folder of the model from which the run starts, or `None`.
    given: The model in `seed_model`, or `None`.
    trained_on: The record of the trainings of `given`.
  """

  train_store: client_store.ClientStore
  eval_store: client_store.ClientStore
  names: tuple[str, ...]
  seed_ids: list[str]
  population: list[str]
  evaluate_clients: int
  evaluated_between: list[str]
  seed_model: pathlib.Path | None
  given: Encoder | None
  trained_on: lineage.Lineage

  @property
  def without_promise(self) -> list[str]:
    """Speakers of `train_store` outside the population, without a guarantee."""
    return sorted(set(self.train_store.client_ids) - set(self.population))

  def in_words(self) -> str:
    """Returns the number of speakers in each part, in words."""
    count = len(self.eval_store.client_ids)
    held_out = (
      f'{counts.text(count, "held-out speaker")} of {self.eval_store.path.name}'
    )
    if self.evaluate_clients:
      between = len(self.evaluated_between)
      held_out += f', {between} of them evaluated between rounds'
    return (
      f'{counts.text(len(self.population), "client")} in the population,'
      f' {counts.text(len(self.without_promise), "seed speaker")}, {held_out}.'
    )

  def record_seed(self, folder: pathlib.Path) -> lineage.Lineage:
    """Writes the record of the speakers that train the seed model of a run.

    Args:
      folder: Folder of the seed model, which does not need to exist.

    Returns:
      The record, with the trainings of the given model.

    Raises:
      UserError: If other speakers trained the seed model in the folder.
    """
    trained_on = self.trained_on
    if self.seed_ids:
      trained_on += lineage.trainings(self.names, self.seed_ids)
    if model_folder.is_complete(folder):
      trained_on = lineage.check_seeds(
        folder, trained_on, {self.train_store.digest, *self.names}
      )
    lineage.write(folder, trained_on)
    return trained_on


def choose(
  train_store: pathlib.Path,
  eval_store: pathlib.Path,
  run_dir: pathlib.Path,
  *,
  seed_model: pathlib.Path | None,
  loader: seed_models.Loader,
  seed_clients: int,
  evaluate_clients: int,
  seed: int,
  rounds: int,
  promises: bool,
) -> Participants:
  """Opens the stores of a run and chooses the speakers of each part.

  Args:
    train_store: Store of the seed speakers and of the clients.
    eval_store: Store of the held-out speakers.
    run_dir: Folder of the run, which may be new.
    seed_model: Folder of the model from which the run starts, or `None`.
    loader: Loads the seed model.
    seed_clients: Number of seed speakers, or `ALL`.
    evaluate_clients: Number of held-out speakers in an evaluation between
      rounds, 0 for all.
    seed: Seed of the choices.
    rounds: Number of federated rounds.
    promises: Whether the population has a guarantee.

  Raises:
    UserError: If the stores, the model and the numbers are not compatible.
  """
  clients = client_store.ClientStore(train_store)
  held_out = client_store.ClientStore(eval_store)
  check_held_out(clients, held_out)
  evaluated_between = sample(held_out, evaluate_clients, seed)
  names = lineage.names_of(clients, run_dir, promises)
  given, trained_on = None, ()
  if seed_model:
    given = loader.load(seed_model, clients)
    recorded = lineage.read(model_folder.find(seed_model))
    trained_on = lineage.renamed(recorded, clients.digest, names)
  left_out = lineage.unprotected(trained_on, names)
  seed_ids, population = split(clients, seed_clients, seed, left_out, promises)
  errors.require(
    bool(population) or not rounds,
    f'`seed_clients={seed_clients}` leaves no clients for the {rounds}'
    ' federated rounds: give a smaller number, or `rounds=0`.',
  )
  return Participants(
    train_store=clients,
    eval_store=held_out,
    names=names,
    seed_ids=seed_ids,
    population=population,
    evaluate_clients=evaluate_clients,
    evaluated_between=evaluated_between,
    seed_model=seed_model,
    given=given,
    trained_on=trained_on,
  )


def check_held_out(
  train_store: client_store.ClientStore, eval_store: client_store.ClientStore
) -> None:
  """Checks that the training store and the evaluation store are compatible.

  Raises:
    UserError: If their vocabularies differ, or a speaker is in both.
  """
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


def sample(
  store: client_store.ClientStore, number: int, seed: int
) -> list[str]:
  """Samples speakers of a store; the same seed gives the same speakers.

  Args:
    store: Store of the speakers.
    number: Number of speakers, 0 for all.
    seed: Seed of the choice.

  Raises:
    UserError: If the store has fewer speakers.
  """
  clients = store.client_ids
  if not 0 <= number <= len(clients):
    raise errors.UserError(
      f'`evaluate_clients={number}`, but there are {len(clients)} speakers in'
      f' {store.path}: give a number from 0 to {len(clients)}.'
    )
  return sorted(draws.smallest(clients, number, 'evaluation', seed)) or clients


def split(
  store: client_store.ClientStore,
  seed_clients: int,
  seed: int,
  left_out: set[str],
  promises: bool,
) -> tuple[list[str], list[str]]:
  """Returns the seed speakers and the population, disjoint.

  The choice of the seed speakers does not depend on any client of the
  population, see `draws`.  This matters because the names of the seed speakers,
  and the model trained on them, are released without noise.

  Args:
    store: Store of the seed speakers and the population.
    seed_clients: Number of seed speakers, or `ALL`.
    seed: Seed of the choice.
    left_out: Speakers that trained a given model without privacy.  They are in
      neither list, unless the store has no other speakers and the population
      has no guarantee.
    promises: Whether the population has a guarantee.

  Raises:
    UserError: If there are too few clients.
  """
  clients = store.client_ids
  if left_out >= set(clients):
    if promises:
      raise errors.UserError(
        'The model of `seed_model` was trained, without privacy, on all clients'
        f' in {store.path}, so a guarantee to them is impossible. Give another'
        ' model, or another store.'
      )
    left_out = set()
  others = [c for c in clients if c not in left_out]
  if seed_clients == ALL:
    seed_clients = len(others)
  if seed_clients > len(others):
    raise errors.UserError(
      f'`seed_clients={seed_clients}`, but only {len(others)} clients in'
      f' {store.path} are available: give a smaller number.'
    )
  seed_ids = draws.smallest(others, seed_clients, 'seed speakers', seed)
  return sorted(seed_ids), [c for c in others if c not in seed_ids]
