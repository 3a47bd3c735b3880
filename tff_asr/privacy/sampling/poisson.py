"""Draws cohorts by Poisson sampling."""

from collections.abc import Sequence
import dataclasses

import dp_accounting

from tff_asr import errors
from tff_asr.privacy.sampling import samplers, sampling_protocol


@dataclasses.dataclass(frozen=True, kw_only=True)
class Poisson(sampling_protocol.Scheme):
  """Draws each client for each round independently, with one probability.

  `cohort_size` is the expected number of clients in a round.
  """

  name = 'poisson'
  help = 'each client independently with the same probability'
  neighbours = (
    'the same plan with one client added or removed; the probability of'
    ' sampling stays the same'
  )
  assumed = 'the clients of a round stay unknown'

  def __post_init__(self):
    super().__post_init__()
    errors.require(
      self.probability <= 1.0,
      f'A cohort of {self.cohort_size} on average is too large:'
      f' {self.population} clients are available'
      f' {self._available_share:.0%} of the time. Lower `cohort_size`'
      ' or `over_selection`, or raise `available_hours`.',
    )

  @property
  def probability(self) -> float:
    """Probability that an available client is in a round."""
    return self.selected / (self._available_share * self.population)

  def sampler(
    self, client_ids: Sequence[str], insecure_seed: int | None
  ) -> samplers.Cohorts:
    return samplers.poisson(
      client_ids, self.probability, insecure_seed, **self._availability_check
    )

  def round_event(self, event: dp_accounting.DpEvent) -> dp_accounting.DpEvent:
    return dp_accounting.PoissonSampledDpEvent(self.probability, event)

  def in_words(self) -> str:
    available = 'available ' if self.availability else ''
    return (
      f'each {available}client is in a round with probability'
      f' {self.probability:.4g}, independently{self._settings_in_words()}'
    )
