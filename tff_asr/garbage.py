"""Garbage collection at the start of a program.

Imports of TensorFlow and TFF create millions of objects, which live as long as
the process.  Python would examine them again and again, while they are created
and while graphs are built.
"""

import gc


def pause() -> None:
  """Stops the collection of garbage, for the time of the imports."""
  gc.disable()


def resume() -> None:
  """Starts the collection again, without the objects of the imports.

  Without a call of `pause`, nothing changes.
  """
  if not gc.isenabled():
    gc.freeze()
    gc.enable()
