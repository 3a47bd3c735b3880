"""Splits of a corpus by speaker, the same for the same seed."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from tff_asr import errors


@dataclasses.dataclass(frozen=True)
class Holdout:
  """Which speakers are held out.

  Attributes:
    clients: How many: below 1 a fraction of the speakers, else their number.
    seed: Seed of the draw.
  """

  clients: float
  seed: int

  def split(self, client_ids: Sequence[str]) -> frozenset[str]:
    """Returns the speakers that are held out.

    They are the last of a random permutation of the sorted names, as
    scikit-learn's `train_test_split(sorted(names), train_size=clients,
    random_state=seed)` draws what it calls the training part: the 10 % of the
    10/90 splits of Pelikan et al. (2025, arXiv 2310.00098), whose seed was 123.

    Raises:
      UserError: If nobody would be held out, or nobody left.
    """
    total = len(client_ids)
    count = int(self.clients * total if self.clients < 1 else self.clients)
    if not 0 < count < total:
      raise errors.UserError(
        f'--holdout_clients={self.clients:g} of {total} speakers leaves one of'
        ' the two parts empty.'
      )
    order = np.random.RandomState(self.seed).permutation(total)
    names = sorted(client_ids)
    return frozenset(names[i] for i in order[total - count :])
