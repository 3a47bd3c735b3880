"""The interface between corpus readers and the preparation of stores."""

import abc
from collections.abc import Iterator

from tff_asr import errors
from tff_asr.corpora import utterance

Item = utterance.Recording | utterance.Utterance | utterance.Skipped


class Source(abc.ABC):
  """A corpus from which a client store is prepared.

  Attributes:
    description: Words on the corpus; the store records them.
  """

  description: str

  @abc.abstractmethod
  def items(self) -> Iterator[Item]:
    """Yields every utterance, in the same order in every call.

    The preparation decodes the audio of a `Recording` later.  An entry that
    the reader cannot read is a `Skipped`.

    Raises:
      UserError: If the corpus is missing or has another layout.
    """

  def checked_items(self) -> Iterator[Item]:
    """Yields the items, and checks that they are items.

    Raises:
      UserError: As for `items`, or if an item is of another type.
    """
    for number, item in enumerate(self.items(), start=1):
      errors.require(
        isinstance(item, Item),
        f'The corpus reader gave a {type(item).__name__} as item {number},'
        ' which must be a Recording, an Utterance or a Skipped.',
      )
      yield item

  def survey(self) -> tuple[list[str], int]:
    """Returns the speakers, sorted, and the number of items.

    Raises:
      UserError: If the corpus is missing or has another layout.
    """
    clients, count = set(), 0
    for item in self.checked_items():
      clients.add(item.client_id)
      count += 1
    return sorted(clients - {''}), count
