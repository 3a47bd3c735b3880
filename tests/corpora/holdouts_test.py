import math

from hypothesis import given
from hypothesis import strategies as st
import pytest

from tff_asr import errors
from tff_asr.corpora import holdouts


@given(st.integers(2, 300), st.integers(0, 99), st.randoms())
def test_a_split_depends_on_names_and_seed_only(count, seed, order):
  names = [f'client {i}' for i in range(count)]
  shuffled = names.copy()
  order.shuffle(shuffled)
  part = holdouts.Holdout(count // 2, seed).split(names)
  assert part == holdouts.Holdout(count // 2, seed).split(shuffled)
  assert len(part) == count // 2 and part <= set(names)


def test_seeds_draw_different_parts():
  names = [str(i) for i in range(100)]
  parts = {holdouts.Holdout(10, seed).split(names) for seed in range(5)}
  assert len(parts) == 5


@pytest.mark.parametrize('clients', [0.01, 10, 11])
def test_neither_part_may_be_empty(clients):
  with pytest.raises(
    errors.UserError, match='for one of the stores: give the number'
  ):
    holdouts.Holdout(clients, 0).split([str(i) for i in range(10)])


@pytest.mark.parametrize(
  'clients', [0.0, -1.0, 1.5, 2.000001, math.nan, math.inf, -math.inf]
)
def test_a_hold_out_is_a_number_or_a_probability(clients):
  with pytest.raises(errors.UserError, match='whole number'):
    holdouts.Holdout(clients, 0)
