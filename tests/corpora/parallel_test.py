from concurrent import futures
import itertools
import threading
import time

import pytest

from tff_asr.corpora import parallel


def test_results_come_in_the_order_of_the_items():
  def late(number):
    time.sleep(0.002 * (number % 3))
    return -number

  pairs = list(parallel.map_in_order(late, range(40), 2))
  assert pairs == [(number, -number) for number in range(40)]


def test_of_endless_items_only_so_many_are_taken():
  taken = []
  items = (taken.append(n) or n for n in itertools.count())
  pairs = parallel.map_in_order(lambda n: n, items, 3, workers=2)
  for number in range(20):
    assert next(pairs) == (number, number)
    assert len(taken) == number + 1 + 3 * 2
  pairs.close()


def test_items_are_worked_on_at_once():
  both = threading.Barrier(2, timeout=600)
  pairs = parallel.map_in_order(lambda _: both.wait(), range(2), 1, workers=2)
  assert sorted(place for _, place in pairs) == [0, 1]


def test_an_error_comes_in_its_place_and_ends_the_rest(monkeypatch):
  done, is_over = [], threading.Event()
  shutdown = futures.ThreadPoolExecutor.shutdown

  def noting(pool, **kwargs):
    is_over.set()
    shutdown(pool, **kwargs)

  def fail(number):
    if number == 1:
      raise KeyError(number)
    assert not number or is_over.wait(600)
    done.append(number)
    return number

  monkeypatch.setattr(futures.ThreadPoolExecutor, 'shutdown', noting)
  pairs = parallel.map_in_order(fail, range(1_000), 100, workers=2)
  assert next(pairs) == (0, 0)
  with pytest.raises(KeyError):
    next(pairs)
  # Those that were at work.
  assert set(done) <= {0, 2, 3}
