"""Matplotlib, imported when the first plot is drawn.

Its import searches for fonts. The first time this takes seconds and writes a
note to standard error. A call that draws nothing, or that ends in an error,
needs neither.
"""

import functools
from types import ModuleType


@functools.cache
def library() -> ModuleType:
  """Returns `matplotlib`, with `figure` and `ticker`."""
  import matplotlib.figure
  import matplotlib.ticker

  return matplotlib
