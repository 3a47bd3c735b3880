"""Who is drawn tells of nobody who is not."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from tff_asr import errors
from tff_asr.corpora import draws, holdouts

NAMES = st.sets(st.text(max_size=6), min_size=1, max_size=40)
SEEDS = st.integers(0, 2**31 - 1)
DRAWS = st.one_of(
  st.integers(0, 40).map(
    lambda n: lambda names, *of: draws.smallest(names, n, *of)
  ),
  st.floats(0.0, 1.0).map(
    lambda f: lambda names, *of: draws.share(names, f, *of)
  ),
)


@given(NAMES, DRAWS, SEEDS)
def test_without_one_who_is_not_drawn_the_draw_is_the_same(names, draw, seed):
  drawn = draw(names, 'purpose', seed)
  assert drawn <= names
  for name in names - drawn:
    assert draw(names - {name}, 'purpose', seed) == drawn


@given(NAMES, DRAWS, SEEDS, st.text())
def test_one_more_changes_the_draw_by_being_drawn_alone(
  names, draw, seed, more
):
  before = draw(names - {more}, 'purpose', seed)
  after = draw(names | {more}, 'purpose', seed)
  assert after - before <= {more}
  assert after == before or more in after
  assert len(before - after) <= 1


@given(NAMES, st.integers(0, 40), SEEDS)
def test_as_many_are_drawn_as_are_wanted(names, number, seed):
  drawn = draws.smallest(names, number, 'purpose', seed)
  assert len(drawn) == min(number, len(names))


@pytest.mark.parametrize('fraction', [0.05, 0.1, 0.5, 0.9])
def test_a_share_has_its_size(fraction):
  """Within 5 standard deviations: false alarms below 1e-6."""
  names = [str(i) for i in range(34_753)]
  drawn = draws.share(names, fraction, 'purpose', 123)
  expected = fraction * len(names)
  spread = 5.0 * (expected * (1.0 - fraction)) ** 0.5
  assert len(drawn) == pytest.approx(expected, abs=spread)


def test_every_speaker_is_drawn_as_often():
  """10 of 20, 400 times: within 5 standard deviations, 50 of 200."""
  names = [f'speaker {i}' for i in range(20)]
  times = dict.fromkeys(names, 0)
  for seed in range(400):
    for name in draws.smallest(names, 10, 'purpose', seed):
      times[name] += 1
  assert all(150 <= n <= 250 for n in times.values()), times


def test_draws_of_other_seeds_and_for_other_ends_are_independent():
  """Of 1,000 of 2,000, half are common: within 5 deviations of 11.2."""
  names = [str(i) for i in range(2_000)]
  one = draws.smallest(names, 1_000, 'one', 1)
  for other in ('one', 2), ('two', 1), ('on', 11):
    common = one & draws.smallest(names, 1_000, *other)
    assert abs(len(common) - 500) < 56


@given(NAMES, st.integers(1, 20), SEEDS)
def test_a_hold_out_tells_of_nobody_else(names, number, seed):
  for clients in number, number / 21:
    draw = holdouts.Holdout(clients, seed)
    try:
      part = draw.split(sorted(names))
    except errors.UserError:
      continue
    for name in names - part:
      if len(names) - 1 > len(part):
        assert draw.split(sorted(names - {name})) == part
