"""Draws cohorts of a fixed size, without replacement."""

from collections.abc import Sequence
import dataclasses
import math

import dp_accounting

from tff_asr import errors
from tff_asr.privacy.accounting import accountants
from tff_asr.privacy.sampling import samplers, sampling_protocol


@dataclasses.dataclass(frozen=True, kw_only=True)
class FixedSize(sampling_protocol.Scheme):
  """Draws the same number of different clients for every round.

  All sets of that size are equally likely.  The size of the population is
  public.  Neighbours differ in the data of one client, which changes the sum by
  up to 2 C.
  """

  name = 'fixed'
  help = 'a set of a fixed size, all sets equally likely'
  neighbours = (
    'the data of one client replaced by any other data; the number of clients'
    ' is public'
  )
  assumed = 'the clients of a round stay unknown'
  relation = accountants.Relation.REPLACE_ONE

  @property
  def selected(self) -> int:
    """Number of clients that every round selects."""
    return math.ceil(super().selected)

  def check_accountable(self) -> None:
    errors.require(
      self.availability is None,
      '`sampling=fixed` with `available_hours`: the number of available clients'
      ' changes from round to round, and the accountant does not cover this.'
      ' Use `sampling=poisson`.',
    )

  def sampler(
    self, client_ids: Sequence[str], insecure_seed: int | None
  ) -> samplers.Cohorts:
    return samplers.fixed_size(
      client_ids, self.selected, insecure_seed, **self._availability_check
    )

  def round_event(self, event: dp_accounting.DpEvent) -> dp_accounting.DpEvent:
    return dp_accounting.SampledWithoutReplacementDpEvent(
      self.population, self.selected, event
    )

  def in_words(self) -> str:
    return (
      f'{self.selected} different clients, all sets equally likely'
      f'{self._settings_in_words()}'
    )
