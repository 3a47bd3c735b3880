"""Who the seed speakers are tells of nobody in the population."""

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from tests import stores
from tff_asr import errors
from tff_asr.corpora import holdouts
from tff_asr.runs import participants

CLIENTS = [f'client {i}' for i in range(9)]


@pytest.fixture(scope='module')
def without(tmp_path_factory):
  """A store of all clients but one, or of all of them."""
  folder, opened = tmp_path_factory.mktemp('stores'), {}

  def of(missing=None):
    if missing not in opened:
      there = [client for client in CLIENTS if client != missing]
      items = [stores.make(client, client) for client in there]
      opened[missing] = stores.opened(folder / f'without {missing}', items)
    return opened[missing]

  return of


@settings(deadline=None)
@given(
  st.integers(0, 4),
  st.integers(0, 2**31 - 1),
  st.sets(st.sampled_from(CLIENTS), max_size=4),
  st.sampled_from(CLIENTS),
)
def test_without_a_client_the_seed_speakers_are_the_same(
  without, number, seed, left_out, client
):
  drawn, population = participants.split(
    without(), number, seed, left_out, True
  )
  assert len(drawn) == number and not left_out & {*drawn, *population}
  assert sorted({*drawn, *population, *left_out}) == CLIENTS
  if client not in population:
    return
  again, rest = participants.split(
    without(client), number, seed, left_out, True
  )
  assert again == drawn
  assert rest == [c for c in population if c != client]


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(0, 2**31 - 1), st.sampled_from(CLIENTS))
def test_without_one_who_is_not_heard_the_same_are_heard(
  without, number, seed, client
):
  heard = participants.sample(without(), number, seed)
  assert len(heard) == number
  if client not in heard:
    assert participants.sample(without(client), number, seed) == heard


def test_all_are_heard_or_seed_speakers(without):
  assert participants.sample(without(), 0, 1) == CLIENTS
  drawn, population = participants.split(
    without(), participants.ALL, 1, set(), False
  )
  assert (drawn, population) == (CLIENTS, [])


def test_draws_for_different_ends_differ(without):
  seeds, _ = participants.split(without(), 4, 1, set(), True)
  heard = participants.sample(without(), 4, 1)
  held_out = holdouts.Holdout(4, 1).split(CLIENTS)
  assert len({frozenset(seeds), frozenset(heard), held_out}) == 3


def test_too_many_are_refused(without):
  with pytest.raises(errors.UserError, match='`seed_clients=8`, but only 7'):
    participants.split(without(), 8, 1, set(CLIENTS[:2]), True)
  message = '`evaluate_clients=10`, but there are 9'
  with pytest.raises(errors.UserError, match=message):
    participants.sample(without(), 10, 1)
