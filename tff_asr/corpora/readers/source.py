"""A corpus, whatever its layout."""

import abc
from collections.abc import Iterator

from tff_asr.corpora import utterance

Item = utterance.Recording | utterance.Utterance | utterance.Skipped


class Source(abc.ABC):
  """A corpus to make a client store of.

  Attributes:
    description: What it is, for the record.
  """

  description: str

  @abc.abstractmethod
  def items(self) -> Iterator[Item]:
    """Yields every utterance, in an order that never changes.

    Audio is not decoded here; what cannot be read is yielded as `Skipped`.

    Raises:
      UserError: If the corpus is missing or of another layout.
    """

  def survey(self) -> tuple[list[str], int]:
    """Returns the speakers, sorted, and the number of items.

    Raises:
      UserError: As `items`.
    """
    clients, count = set(), 0
    for item in self.items():
      clients.add(item.client_id)
      count += 1
    return sorted(clients - {''}), count
