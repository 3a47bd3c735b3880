"""A budget holds with what other runs release meanwhile."""

import pytest

from tests.runs import runs
from tff_asr.programs import recorded_rounds

STRONG = runs.make_plan(10**6, 1_000, 1.0)


def epsilon_after(rounds):
  return STRONG.epsilons(rounds).best


@pytest.fixture
def books(tmp_path):
  """Of a run, and of another one that it was told of."""
  for name in 'own', 'other':
    (tmp_path / name).mkdir()
  other = STRONG.open_ledger(tmp_path / 'other' / 'ledger.jsonl')
  own = STRONG.open_ledger(
    tmp_path / 'own' / 'ledger.jsonl', [tmp_path / 'other']
  )
  return own, other


def test_others_that_release_meanwhile_take_of_the_budget(books):
  own, other = books
  rounds = recorded_rounds.RecordedRounds(STRONG, own, epsilon_after(10))
  assert rounds.last_round(0) == 10
  rounds.record(1)
  assert rounds.last_round(1) == 10
  for number in 1, 2, 3:
    other.append(number, STRONG.release(number))
  rounds.record(2)
  assert rounds.last_round(2) == 7
  for number in range(4, 20):
    other.append(number, STRONG.release(number))
  assert rounds.last_round(2) == 2
  assert own.epsilons(STRONG.delta).best == epsilon_after(21)


def test_without_a_budget_all_rounds_are_done_and_others_are_counted(books):
  own, other = books
  rounds = recorded_rounds.RecordedRounds(STRONG, own)
  assert rounds.last_round(0) == 30
  other.append(1, STRONG.release(1))
  rounds.record(1)
  assert rounds.last_round(1) == 30
  assert own.epsilons(STRONG.delta).best == epsilon_after(2)


def test_rounds_that_were_planned_before_more_were_done_are_not_undone(books):
  rounds = recorded_rounds.RecordedRounds(STRONG, books[0])
  assert rounds.last_round(40) == 40


def test_two_runs_that_know_of_each_other_keep_to_one_budget(tmp_path):
  """In turn, each checks before its next round."""
  ledgers = []
  for name in 'ab':
    (tmp_path / name).mkdir()
    STRONG.open_ledger(tmp_path / name / 'ledger.jsonl')
  for own, other in 'ab', 'ba':
    ledgers.append(
      STRONG.open_ledger(tmp_path / own / 'ledger.jsonl', [tmp_path / other])
    )
  both = [
    recorded_rounds.RecordedRounds(STRONG, book, epsilon_after(9))
    for book in ledgers
  ]
  done = [0, 0]
  for i in [0, 1] * 10:
    if both[i].last_round(done[i]) > done[i]:
      done[i] += 1
      both[i].record(done[i])
  assert sum(done) == 9
  for book in ledgers:
    book.read_priors()
    assert book.epsilons(STRONG.delta).best == epsilon_after(9)
