"""The draw of held-out speakers, the same for the same seed.

`store_split.py` moves their utterances to a store of their own.
"""

from collections.abc import Sequence
import dataclasses
import math

from tff_asr import errors
from tff_asr.corpora import draws

_PURPOSE = 'hold-out'


@dataclasses.dataclass(frozen=True)
class Holdout:
  """A draw of held-out speakers.

  Attributes:
    clients: Number of held-out speakers, or, below 1, the probability of each
      speaker to be held out.
    seed: Seed of the draw.
  """

  clients: float
  seed: int

  def __post_init__(self):
    """Checks `clients`.

    Raises:
      UserError: If `clients` is neither a number of speakers nor a probability.
    """
    number = self.clients
    errors.require(
      0.0 < number < 1.0
      or (math.isfinite(number) and number == int(number) > 0),
      f'`Holdout.clients={number:g}` must be a whole number of speakers, or a'
      ' probability between 0 and 1.',
    )

  def split(self, client_ids: Sequence[str]) -> frozenset[str]:
    """Returns the held-out speakers.

    The other speakers do not influence the draw, see `draws`. For this reason,
    a fraction is a probability for each speaker: the number of speakers in a
    fraction of a population would depend on every speaker.

    Raises:
      UserError: If no speaker would be held out, or all speakers would be.
    """
    total = len(client_ids)
    if self.clients < 1:
      drawn = draws.share(client_ids, self.clients, _PURPOSE, self.seed)
    else:
      drawn = draws.smallest(client_ids, int(self.clients), _PURPOSE, self.seed)
    if not 0 < len(drawn) < total:
      raise errors.UserError(
        f'`Holdout.clients={self.clients:g}` of {total} speakers leaves no'
        ' speaker for one of the stores: give the number of speakers to hold'
        ' out, at least 1 and less than all.'
      )
    return drawn
