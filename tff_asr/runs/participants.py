"""Which speakers of the stores do what in a run; nobody does two things."""

from tff_asr import errors
from tff_asr.corpora import client_store, draws

ALL = -1  # For the number of seed speakers.


def check_held_out(
  train_store: client_store.ClientStore, eval_store: client_store.ClientStore
) -> None:
  """Checks that two stores go together.

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
  """Returns some speakers of a store, the same ones for the same seed.

  Args:
    store: The speakers.
    number: How many, 0 for all.
    seed: Of their choice.

  Raises:
    UserError: If there are fewer.
  """
  clients = store.client_ids
  if not 0 <= number <= len(clients):
    raise errors.UserError(
      f'`evaluate_clients={number}` of the {len(clients)} speakers in'
      f' {store.path}.'
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

  Nobody in the population changes who the seed speakers are, see `draws`: their
  names, and the model that is trained on them, are released as they are.

  Args:
    store: Of both.
    seed_clients: Number of seed speakers, or `ALL`.
    seed: Of their choice.
    left_out: Speakers on whom a given model was trained without privacy; they
      are in neither, unless nobody else is there and nothing is promised.
    promises: Whether something is promised to the population.

  Raises:
    UserError: If there are too few clients.
  """
  clients = store.client_ids
  if left_out >= set(clients):
    if promises:
      raise errors.UserError(
        'The model of `seed_model` was trained, without privacy, on all clients'
        f' in {store.path}: nothing can be promised to them. Give another'
        ' model, or another store.'
      )
    left_out = set()
  others = [c for c in clients if c not in left_out]
  if seed_clients == ALL:
    seed_clients = len(others)
  if seed_clients > len(others):
    raise errors.UserError(
      f'`seed_clients={seed_clients}` of the {len(others)} clients in'
      f' {store.path}.'
    )
  seed_ids = draws.smallest(others, seed_clients, 'seed speakers', seed)
  return sorted(seed_ids), [c for c in others if c not in seed_ids]
