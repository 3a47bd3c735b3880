"""How the clients of a round are chosen from a population."""

from collections.abc import Sequence
import dataclasses
import math

from tff_asr import errors
from tff_asr.privacy.sampling import availability as availability_lib
from tff_asr.privacy.sampling import cohorts

POISSON = 'poisson'
FIXED = 'fixed'
NONE = 'none'
SAMPLINGS = (POISSON, FIXED, NONE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """Who may be in a round, and how they are drawn.

  Attributes:
    population: Number of clients K that may be sampled.
    cohort_size: Clients S <= K that a round is to have: the expected number
      (`poisson`), the exact one (`fixed`), or about the number (`none`, see
      `expected_cohort`).
    sampling: `poisson`: each client is in each round with the same probability,
      independently.  `fixed`: every round has as many different clients, all
      sets equally likely.  `none`: clients take turns.
    over_selection: Clients selected for each that a round is to have, at least
      1: more than are needed, since some drop out.
    availability: When clients can take part, or `None` for always.

  Raises:
    UserError: If a value is out of its range; says which and what is allowed.
  """

  population: int
  cohort_size: int
  sampling: str = POISSON
  over_selection: float = 1.0
  availability: availability_lib.Daily | None = None

  def __post_init__(self):
    require = errors.require
    require(
      1 <= self.cohort_size <= self.population,
      f'cohort_size {self.cohort_size} must be at least 1 and at most the '
      f'population of {self.population} clients.',
    )
    require(
      self.sampling in SAMPLINGS,
      f'sampling {self.sampling!r} must be one of {SAMPLINGS}.',
    )
    require(
      1.0 <= self.over_selection < float('inf'),
      f'over_selection {self.over_selection} must be at least 1.',
    )
    require(
      self.sampling != NONE
      or (self.over_selection == 1.0 and self.availability is None),
      "sampling 'none': clients keep to their turns, whoever drops out and"
      ' whenever they are there. Leave out over_selection and available_hours,'
      " or take 'poisson'.",
    )
    require(
      self.selected <= self.population,
      f'cohort_size {self.cohort_size} x over_selection'
      f' {self.over_selection:g} is more than the population of'
      f' {self.population} clients.',
    )
    require(
      self.sampling != POISSON or self.probability <= 1.0,
      f'A cohort of {self.cohort_size} on average is more than the'
      f' {self.population} clients can give who are there'
      f' {self._share:.0%} of the time: lower cohort_size or over_selection, or'
      ' raise available_hours.',
    )

  @property
  def selected(self) -> float:
    """Clients selected in a round (`poisson`: on average)."""
    if self.sampling == FIXED:
      return math.ceil(self.over_selection * self.cohort_size)
    return self.over_selection * self.cohort_size

  @property
  def probability(self) -> float:
    """With which a client who is there is in a round (`poisson`)."""
    return self.selected / (self._share * self.population)

  @property
  def turns(self) -> int:
    """Number of rounds after which it is a client's turn again (`none`)."""
    return max(1, round(self.population / self.cohort_size))

  @property
  def expected_cohort(self) -> float:
    """The denominator of the mean, however many clients answered."""
    if self.sampling == NONE:
      return self.population / self.turns
    return float(self.cohort_size)

  @property
  def _share(self) -> float:
    return self.availability.share if self.availability else 1.0

  def cohorts(
    self, client_ids: Sequence[str], insecure_seed: int | None = None
  ) -> cohorts.Cohorts:
    """Returns the sampler, unpredictable unless there is a seed.

    Args:
      client_ids: The population.
      insecure_seed: For repeatable cohorts, where nothing is promised.

    Raises:
      UserError: If it is not this population, or a client is in it twice.
    """
    if len(set(client_ids)) != len(client_ids):
      raise errors.UserError('A client is in the population twice.')
    if len(client_ids) != self.population:
      raise errors.UserError(
        f'The plan is for a population of {self.population}, found'
        f' {len(client_ids)} clients.'
      )
    if self.sampling == NONE:
      return cohorts.rotation(client_ids, self.turns)
    there = (
      {'is_there': self.availability.is_there} if self.availability else {}
    )
    if self.sampling == POISSON:
      return cohorts.poisson(
        client_ids, self.probability, insecure_seed, **there
      )
    return cohorts.fixed_size(
      client_ids, int(self.selected), insecure_seed, **there
    )

  def sampling_in_words(self) -> str:
    """Returns how clients are chosen, for a reader."""
    more = ''
    if self.over_selection != 1.0:
      more = f'; {self.over_selection:g} are selected for each that is needed'
    if self.availability:
      more += f'; clients are there in {self.availability}'
    if self.sampling == POISSON:
      there = ' they are there for' if self.availability else ''
      return (
        f'each client is in a round{there} with probability'
        f' {self.probability:.4g}, independently{more}'
      )
    if self.sampling == FIXED:
      return (
        f'{int(self.selected)} different clients, all sets equally likely{more}'
      )
    return (
      f'clients take turns, each in one of {self.turns} rounds; nothing is'
      ' gained by chance'
    )
