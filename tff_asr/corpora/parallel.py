"""Parallel work on a stream of items, with bounded memory."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
import os
from typing import TypeVar

_T = TypeVar('_T')
_R = TypeVar('_R')


def map_in_order(
  function: Callable[[_T], _R],
  items: Iterable[_T],
  ahead: int,
  workers: int | None = None,
) -> Iterator[tuple[_T, _R]]:
  """Yields items with the results of a function, in the order of the items.

  Args:
    function: The function; several threads call it.
    items: The items, possibly without end.
    ahead: Number of items taken in advance, for each thread.
    workers: Number of threads; by default the number of cores.
  """
  workers = workers or os.cpu_count() or 1
  begun: collections.deque[tuple[_T, futures.Future[_R]]] = collections.deque()
  with futures.ThreadPoolExecutor(workers) as pool:
    try:
      for item in items:
        begun.append((item, pool.submit(function, item)))
        if len(begun) > workers * ahead:
          first, result = begun.popleft()
          yield first, result.result()
      while begun:
        first, result = begun.popleft()
        yield first, result.result()
    finally:
      for _, result in begun:
        result.cancel()
