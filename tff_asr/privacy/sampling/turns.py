"""Lets clients take turns, without random sampling."""

from collections.abc import Sequence
import dataclasses

import dp_accounting

from tff_asr import errors
from tff_asr.privacy.sampling import samplers, sampling_protocol


@dataclasses.dataclass(frozen=True, kw_only=True)
class Turns(sampling_protocol.Scheme):
  """Lets clients take turns; sampling does not amplify privacy.

  `cohort_size` is the approximate number of clients in a round.  See
  `expected_cohort`.
  """

  name = 'none'
  help = 'no random sampling: clients take turns'
  neighbours = (
    'the same plan with one client added or removed; the period of turns stays'
    ' the same'
  )
  assumed = 'clients keep to their turns'

  def __post_init__(self):
    errors.require(
      self.over_selection == 1.0 and self.availability is None,
      '`sampling=none`: clients keep to their turns, even if they drop out or'
      ' are not available. Leave out'
      ' `over_selection` and `available_hours`, or use `sampling=poisson`.',
    )
    super().__post_init__()

  @property
  def turns(self) -> int:
    return max(1, round(self.population / self.cohort_size))

  @property
  def expected_cohort(self) -> float:
    return self.population / self.turns

  def sampler(
    self, client_ids: Sequence[str], insecure_seed: int | None
  ) -> samplers.Cohorts:
    del insecure_seed  # Turns are not random.
    return samplers.rotation(client_ids, self.turns)

  def round_event(self, event: dp_accounting.DpEvent) -> dp_accounting.DpEvent:
    return event

  def in_words(self) -> str:
    return (
      f'clients take turns, each in one of {self.turns} rounds; sampling'
      ' does not amplify privacy'
    )
