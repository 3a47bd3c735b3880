"""Splits of a corpus by speaker, the same for the same seed."""

from collections.abc import Sequence
import dataclasses
import math

from tff_asr import errors
from tff_asr.corpora import draws

_PURPOSE = 'hold-out'


@dataclasses.dataclass(frozen=True)
class Holdout:
  """Which speakers are held out.

  Attributes:
    clients: How many: below 1 the probability with which each one is, else
      their number.
    seed: Seed of the draw.
  """

  clients: float
  seed: int

  def __post_init__(self):
    """Checks the number.

    Raises:
      UserError: If it is neither a number of speakers nor a probability.
    """
    number = self.clients
    errors.require(
      0.0 < number < 1.0
      or (math.isfinite(number) and number == int(number) > 0),
      f'--holdout_clients={number:g} must be a whole number of speakers, or a'
      ' probability between 0 and 1.',
    )

  def split(self, client_ids: Sequence[str]) -> frozenset[str]:
    """Returns the speakers that are held out.

    Nobody who is not among them changes who is, see `draws`. A share is drawn
    speaker by speaker for that reason: how many a share of all is depends on
    each of them.

    Raises:
      UserError: If nobody would be held out, or nobody left.
    """
    total = len(client_ids)
    if self.clients < 1:
      drawn = draws.share(client_ids, self.clients, _PURPOSE, self.seed)
    else:
      drawn = draws.smallest(client_ids, int(self.clients), _PURPOSE, self.seed)
    if not 0 < len(drawn) < total:
      raise errors.UserError(
        f'--holdout_clients={self.clients:g} of {total} speakers leaves one of'
        ' the two parts empty: give the number of speakers who are to be held'
        ' out, from 1 to one less than there are.'
      )
    return drawn
