"""Work on many items at once, a bounded number of them in memory."""

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
  """Yields items with what `function` gives for them, in their order.

  Args:
    function: Called by several threads.
    items: May be without end.
    ahead: How many items are taken ahead of the one that is yielded, for each
      thread.
    workers: Number of threads; by default that of cores.
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
