"""Whether stores hold what was written, found out while a run begins."""

import threading
from types import TracebackType

import tensorflow as tf

from tff_asr import errors
from tff_asr.corpora import client_store


class ContentCheck:
  """Reads stores in the background; used in a `with` statement.

  An error that ends the statement gives way to that of a damaged store, which
  is its likely cause.
  """

  def __init__(self):
    self._stop = threading.Event()
    self._error: Exception | None = None
    self._thread: threading.Thread | None = None

  def begin(self, *stores: client_store.ClientStore) -> None:
    """Begins to read stores."""

    def check():
      try:
        for store in stores:
          store.check_content(self._stop)
      except (errors.UserError, OSError) as error:
        self._error = error

    self._thread = threading.Thread(target=check, daemon=True)
    self._thread.start()

  def wait(self) -> None:
    """Waits until all is read; call before anything is made of it.

    Raises:
      OSError: If a store cannot be read.
      UserError: If one is not as it was written.
    """
    if self._thread:
      self._thread.join()
    if self._error:
      raise self._error

  def __enter__(self) -> 'ContentCheck':
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    if isinstance(error, errors.UserError | tf.errors.OpError):
      self.wait()
    self._stop.set()
