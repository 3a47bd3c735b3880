"""A check of stores for damage, in the background of a run's start."""

import threading
from types import TracebackType

import tensorflow as tf

from tff_asr import errors
from tff_asr.corpora import client_store


class ContentCheck:
  """A check of stores in the background, for a `with` statement.

  If the statement ends with an error and a store is damaged, the damage is the
  likely cause, so the error of the store is raised instead.
  """

  def __init__(self):
    self._stop = threading.Event()
    self._error: Exception | None = None
    self._thread: threading.Thread | None = None

  def begin(self, *stores: client_store.ClientStore) -> None:
    """Starts to read stores."""

    def check():
      try:
        for store in stores:
          store.check_content(self._stop)
      except (errors.UserError, OSError) as error:
        self._error = error

    self._thread = threading.Thread(target=check, daemon=True)
    self._thread.start()

  def wait(self) -> None:
    """Waits for the end of the check; call it before the first output.

    Raises:
      OSError: If a store cannot be read.
      UserError: If a record of a store has changed.
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
