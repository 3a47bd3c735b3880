"""Imports Matplotlib when the first plot is drawn.

The import searches for fonts. The first search takes seconds and writes a note
to standard error. A call that draws nothing, or that ends in an error, needs
neither.
"""

import functools
from types import ModuleType


@functools.cache
def library() -> ModuleType:
  """Returns the module `matplotlib`, with `figure` and `ticker` imported."""
  import matplotlib.figure
  import matplotlib.ticker

  return matplotlib
