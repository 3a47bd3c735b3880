"""Defines the interface of a sampling scheme."""

import abc
from collections.abc import Mapping, Sequence
import dataclasses
import math
import numbers
from typing import Any, ClassVar, Self

import dp_accounting

from tff_asr import errors
from tff_asr.privacy.accounting import accountants, releases
from tff_asr.privacy.sampling import available_hours, samplers

# Attributes that no scheme replaces.
_FINAL = ('cohorts', 'contributions', 'release', 'releases')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scheme(abc.ABC):
  """Draws the clients of a round, and gives the privacy event of a round.

  To add a scheme, write a subclass and add it to `schemes.SCHEMES`.  The
  accounting counts every selected client, whether or not the client drops out.
  It counts every round, whether or not a client was available.

  Class attributes:
    name: Value of the setting `sampling`.
    help: How the scheme draws cohorts, for the help of that setting.
    neighbours: Neighbouring populations, in words.
    assumed: Assumption of the accounting on the cohorts, in words.
    relation: The neighbouring relation between populations.

  Attributes:
    population: Number of clients K that may be sampled.
    cohort_size: Planned number of clients S <= K in a round.
    over_selection: Number of selected clients for each planned client, at least
      1.  Above 1, it compensates for clients that drop out.
    availability: Hours at which clients can take part, or `None` for always.

  Raises:
    UserError: If a value is out of its range; names the value and the range.
  """

  name: ClassVar[str]
  help: ClassVar[str]
  neighbours: ClassVar[str]
  assumed: ClassVar[str]
  relation: ClassVar[accountants.Relation] = (
    accountants.Relation.ADD_OR_REMOVE_ONE
  )

  population: int
  cohort_size: int
  over_selection: float = 1.0
  availability: available_hours.Daily | None = None

  def __init_subclass__(cls, **kwargs):
    super().__init_subclass__(**kwargs)
    replaced = sorted(set(_FINAL) & set(vars(cls)))
    if replaced:
      raise TypeError(
        f'Sampling scheme {cls.__name__} must not replace {replaced}: epsilon'
        ' follows from `relation`, `turns` and `round_event`.'
      )

  def __post_init__(self):
    for name in ('population', 'cohort_size'):
      value = getattr(self, name)
      errors.require(
        isinstance(value, numbers.Integral),
        f'`{name}={value}` must be a whole number.',
      )
    errors.require(
      1 <= self.cohort_size <= self.population,
      f'`cohort_size={self.cohort_size}` must be at least 1 and at most the'
      f' population of {self.population} clients.',
    )
    errors.require(
      1.0 <= self.over_selection < float('inf'),
      f'`over_selection={self.over_selection}` must be at least 1.',
    )
    errors.require(
      self.selected <= self.population,
      f'`cohort_size={self.cohort_size}` x'
      f' `over_selection={self.over_selection:g}` is more than the population'
      f' of {self.population} clients.',
    )

  def check_accountable(self) -> None:  # noqa: B027  No scheme must.
    """Raises a `UserError` if no accountant covers this sampling."""

  @property
  def selected(self) -> float:
    """Average number of clients that a round selects."""
    return self.over_selection * self.cohort_size

  @property
  def expected_cohort(self) -> float:
    """Denominator of the mean, for any number of clients that answer."""
    return float(self.cohort_size)

  @property
  def _availability_check(self) -> dict[str, samplers.IsAvailable]:
    """Argument `is_available` of the samplers."""
    if self.availability is None:
      return {}
    return {'is_available': self.availability.is_available}

  @property
  def contributions(self) -> float:
    """Largest difference between the sums of neighbours.

    In contributions of one client: 2 where one client replaces another.
    """
    is_replaced = self.relation == accountants.Relation.REPLACE_ONE
    return 2.0 if is_replaced else 1.0

  @abc.abstractmethod
  def sampler(
    self, client_ids: Sequence[str], insecure_seed: int | None
  ) -> samplers.Cohorts:
    """Returns the sampler of a checked population.

    `cohorts` checks what the sampler draws.

    Args:
      client_ids: The population.
      insecure_seed: Seed of repeatable cohorts, or `None`.
    """

  def cohorts(
    self, client_ids: Sequence[str], insecure_seed: int | None = None
  ) -> samplers.Cohorts:
    """Returns the sampler, which is unpredictable without `insecure_seed`.

    Args:
      client_ids: The population.
      insecure_seed: Seed of repeatable cohorts, for runs without a guarantee.

    Raises:
      UserError: If the population has another size, or contains a client twice.
        The sampler raises it if the scheme draws a client twice in a round, a
        client outside of the population, or a client outside of its turn.
    """
    client_ids = list(client_ids)
    if not all(isinstance(client, str) for client in client_ids):
      raise errors.UserError('The names of clients must be strings.')
    if len(set(client_ids)) != len(client_ids):
      raise errors.UserError('A client is in the population twice.')
    if len(client_ids) != self.population:
      raise errors.UserError(
        f'The plan is for a population of {self.population}, found'
        f' {len(client_ids)} clients.'
      )
    sampler = self.sampler(client_ids, insecure_seed)
    population = frozenset(client_ids)
    turns: dict[str, tuple[int, int] | None] = {}

    def checked(number: int) -> list[str]:
      cohort, turn = list(sampler(number)), self._turn(number)
      errors.require(
        len(set(cohort)) == len(cohort) and population.issuperset(cohort),
        f'The sampling scheme {self.name!r} drew a client twice in round'
        f' {number}, or a client outside of the population: no epsilon covers'
        ' this.',
      )
      errors.require(
        all(turns.setdefault(client, turn) == turn for client in cohort),
        f'The sampling scheme {self.name!r} drew a client in round {number}'
        ' that has another turn: epsilon counts one turn in'
        f' {self.turns} rounds.',
      )
      return cohort

    return checked

  @abc.abstractmethod
  def round_event(self, event: dp_accounting.DpEvent) -> dp_accounting.DpEvent:
    """Returns the privacy event of a round, for a client that may take part.

    The event is the same in all rounds.

    Args:
      event: Privacy event of one participation, for `contributions`.
    """

  @property
  def turns(self) -> int | None:
    """Number of rounds from one turn of a client to its next.

    `None` if clients do not take turns: a client may then be in every round.
    """
    return None

  def release(
    self, number: int, event: dp_accounting.DpEvent
  ) -> releases.RoundRelease:
    """Returns the release of a round, as a ledger records it.

    Args:
      number: The round, from 1.
      event: As for `round_event`.
    """
    return releases.RoundRelease(self.round_event(event), self._turn(number))

  def releases(
    self, rounds: int, event: dp_accounting.DpEvent
  ) -> accountants.Releases:
    """Returns the releases of rounds to the client that is in most of them.

    Args:
      rounds: Number of rounds in all.
      event: As for `round_event`.
    """
    most = math.ceil(rounds / (self.turns or 1))
    return accountants.merged([(self.round_event(event), most)])

  @abc.abstractmethod
  def in_words(self) -> str:
    """Describes the choice of clients in words."""

  def facts(self) -> dict[str, Any]:
    """Returns the settings of the scheme, as the ledger records them."""
    return {'sampling': self.name, **dataclasses.asdict(self)}

  @classmethod
  def recorded(cls, facts: Mapping[str, Any]) -> Self:
    """Returns the scheme with recorded settings.

    Args:
      facts: The settings from `facts`, without the name of the scheme.

    Raises:
      KeyError, TypeError, ValueError: If this release cannot read the settings.
    """
    hours = facts.get('availability')
    available = hours and available_hours.Daily(**hours)
    return cls(**{**facts, 'availability': available})

  def _turn(self, number: int) -> tuple[int, int] | None:
    """Returns the turn of a round, see `releases.RoundRelease`."""
    return self.turns and ((number - 1) % self.turns, self.turns)

  @property
  def _available_share(self) -> float:
    """Share of the rounds in which a client can take part."""
    return self.availability.share if self.availability else 1.0

  def _settings_in_words(self) -> str:
    """Describes over-selection and availability, for the end of a sentence."""
    more = ''
    if self.over_selection != 1.0:
      more = (
        f'; {self.over_selection:g} clients are selected for each client that'
        ' is needed'
      )
    if self.availability:
      more += f'; clients are available in {self.availability}'
    return more
