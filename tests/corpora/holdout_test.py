from hypothesis import given
from hypothesis import strategies as st
import pytest

from tff_asr import errors
from tff_asr.corpora import holdout


@given(st.integers(2, 300), st.integers(0, 99), st.randoms())
def test_a_split_depends_on_names_and_seed_only(count, seed, order):
  names = [f'client {i}' for i in range(count)]
  shuffled = names.copy()
  order.shuffle(shuffled)
  part = holdout.Holdout(count // 2, seed).split(names)
  assert part == holdout.Holdout(count // 2, seed).split(shuffled)
  assert len(part) == count // 2 and part <= set(names)


@pytest.mark.parametrize(
  ('clients', 'share', 'expected'),
  [
    (34_753, 0.1, 3_475),
    (34_753, 0.05, 1_737),
    (6_856, 0.1, 685),
    (7_127, 0.1, 712),
    (34_753, 0.9, 31_277),
  ],
)
def test_sizes_are_those_of_the_paper(clients, share, expected):
  part = holdout.Holdout(share, 123).split([str(i) for i in range(clients)])
  assert len(part) == expected


def test_seeds_draw_different_parts():
  names = [str(i) for i in range(100)]
  parts = {holdout.Holdout(10, seed).split(names) for seed in range(5)}
  assert len(parts) == 5


def test_the_draw_is_scikit_learns():
  """`train_test_split(sorted(names), train_size=3, random_state=123)[0]`."""
  names = [f'{i:02}' for i in range(10)]
  assert holdout.Holdout(3, 123).split(names) == {'06', '09', '02'}


@pytest.mark.parametrize('clients', [0.01, 10, 11])
def test_neither_part_may_be_empty(clients):
  with pytest.raises(errors.UserError, match='empty'):
    holdout.Holdout(clients, 0).split([str(i) for i in range(10)])
