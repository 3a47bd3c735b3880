"""Defines the privacy plan, which creates every part of the guarantee.

Sampling, clipping, denominator, noise, accountant and ledger come from the same
frozen plan, so that they cannot contradict each other.  A plan that the
accountant cannot justify cannot be built.  The guarantee is for one user: all
data of one client.
"""

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import math
import numbers
import pathlib
from typing import Any

import dp_accounting
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from tff_asr import errors
from tff_asr.privacy.accounting import (
  accountants,
  calibration,
  event_records,
  ledger,
)
from tff_asr.privacy.mechanism import mechanism_protocol, mechanisms
from tff_asr.privacy.sampling import samplers, sampling_protocol


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrivacyPlan:
  """Combines sampling, mechanism and number of rounds into a guarantee.

  Attributes:
    sampling: Scheme that draws the clients of a round from a population.
    mechanism: Mechanism that clips updates and adds noise.
    rounds: Planned number of rounds T.
    delta: Probability that the bound epsilon does not hold, less than 1 / K.
    unprotected_metrics: Whether the run releases figures on clients without
      noise, beside the models.  The guarantee does not cover these figures.

  Raises:
    UserError: If a value is out of its range, or no true guarantee exists for
      the combination; names the value and the range.
  """

  sampling: sampling_protocol.Scheme
  mechanism: mechanism_protocol.Mechanism
  rounds: int
  delta: float
  unprotected_metrics: bool = False

  def __post_init__(self):
    require = errors.require
    for name, kind in (
      ('sampling', sampling_protocol.Scheme),
      ('mechanism', mechanism_protocol.Mechanism),
    ):
      value = getattr(self, name)
      require(
        isinstance(value, kind),
        f'`{name}={value!r}` must be a {kind.__name__}.',
      )
    self.sampling.check_accountable()
    require(
      isinstance(self.rounds, numbers.Integral) and self.rounds >= 0,
      f'`rounds={self.rounds}` must be a whole number, at least 0.',
    )
    require(
      0.0 < self.expected_cohort < math.inf,
      f'The sampling scheme {self.sampling.name!r} gives an expected cohort of'
      f' {self.expected_cohort}, which must be positive and finite.',
    )
    require(
      self.noise_multiplier is not None,
      'A plan needs `noise_multiplier`, the size of the noise.',
    )
    if self.is_guarantee:
      self._check_events()
    self.facts()  # Checks that a ledger can record the settings.
    accountants.check_delta(self.delta, self.population)

  def _check_events(self) -> None:
    """Checks that the privacy events depend on the plan and can be recorded."""
    one, two = self.mechanism.event(1.0), self.mechanism.event(2.0)
    errors.require(
      accountants.noise_multiplier(one) > accountants.noise_multiplier(two)
      and one == self.mechanism.event(1.0),
      f'The mechanism {self.mechanism.name!r} must give the same privacy event'
      ' in all calls, and less noise for two contributions of a client than for'
      f' one; found {one} and {two}.',
    )
    for event in one, two:
      of_round = self.sampling.round_event(event)
      errors.require(
        event_records.innermost(of_round) == event
        and of_round == self.sampling.round_event(event),
        f'The sampling scheme {self.sampling.name!r} must give the same event'
        ' in all calls, with the event of the mechanism in it; found'
        f' {of_round} for {event}.',
      )
    event_records.check(of_round)
    accountants.check_supported(of_round, self.relation)

  @property
  def population(self) -> int:
    """Number of clients K that may be sampled."""
    return self.sampling.population

  @property
  def cohort_size(self) -> int:
    """Planned number of clients S in a round."""
    return self.sampling.cohort_size

  @property
  def expected_cohort(self) -> float:
    """Denominator of the mean, for any number of clients that answer."""
    return self.sampling.expected_cohort

  @property
  def relation(self) -> accountants.Relation:
    """The neighbouring relation between populations."""
    return self.sampling.relation

  @property
  def noise_multiplier(self) -> float:
    """Standard deviation z of the noise on the sum, divided by C."""
    return self.mechanism.noise_multiplier

  @property
  def is_guarantee(self) -> bool:
    """Whether the plan guarantees an epsilon."""
    return self.mechanism.is_private

  def cohorts(
    self, client_ids: Sequence[str], insecure_seed: int | None = None
  ) -> samplers.Cohorts:
    """Returns the sampler of this plan, which is unpredictable by default.

    Args:
      client_ids: The population.
      insecure_seed: Seed of repeatable cohorts, for plans without a guarantee.

    Raises:
      UserError: If the population has another size than the plan's, or contains
        a client twice, or cohorts would be predictable under a guarantee.
    """
    errors.require(
      insecure_seed is None or not self.is_guarantee,
      'A seed of the cohorts is not allowed with a guarantee: epsilon needs'
      ' cohorts that nobody can predict.',
    )
    return self.sampling.cohorts(client_ids, insecure_seed)

  def query(self, layers: Mapping[str, int]) -> tfp.DPQuery:
    """Returns the query: clip, sum, add noise, divide by the expected cohort.

    Args:
      layers: Number of coordinates of each tensor of an update by its name, in
        the order of the update.
    """
    return self.mechanism.query(layers, self.expected_cohort)

  def noised_sum(self, layers: Mapping[str, int]) -> tfp.SumAggregationDPQuery:
    """Returns the query without the division: clip, sum, add noise."""
    return self.mechanism.noised_sum(layers, self.expected_cohort)

  def noise_norms(
    self, layers: Mapping[str, int]
  ) -> mechanism_protocol.NoiseNorms:
    """Returns the estimate of the noise in the mean, by tensor."""
    return self.mechanism.noise_norms(layers, self.expected_cohort)

  def aggregation_factory(
    self, layers: Mapping[str, int] | None = None
  ) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns the only aggregation of client updates that this plan covers.

    The guarantee covers the result of the aggregation.  A process around the
    aggregation may release more: see `learning.private_process`.

    Args:
      layers: As for `query`; they must agree with the type of the updates.  By
        default, the layers of that type.
    """
    return self.mechanism.aggregation_factory(layers, self.expected_cohort)

  def release(self, number: int) -> ledger.RoundRelease:
    """Returns the release of a round, to record before the round releases it.

    Args:
      number: The round, from 1.
    """
    if not self.is_guarantee:
      return ledger.RoundRelease(dp_accounting.NonPrivateDpEvent())
    return self.sampling.release(number, self._event())

  def releases(self, rounds: int | None = None) -> accountants.Releases:
    """Returns the releases to one client in some rounds.

    Args:
      rounds: Number of rounds; by default the planned number.
    """
    rounds = self.rounds if rounds is None else rounds
    errors.require(rounds >= 0, f'`rounds={rounds}` must be at least 0.')
    if not self.is_guarantee:
      return accountants.merged([(dp_accounting.NonPrivateDpEvent(), rounds)])
    return self.sampling.releases(rounds, self._event())

  def _event(self) -> dp_accounting.DpEvent:
    """Returns the privacy event of one participation."""
    return self.mechanism.event(self.sampling.contributions)

  def epsilons(
    self, rounds: int | None = None, others: accountants.Releases = ()
  ) -> accountants.Epsilons:
    """Computes epsilon at `delta` after some rounds; infinite without noise.

    Args:
      rounds: Number of rounds; by default the planned number.
      others: Releases of other runs to the same clients.
    """
    releases = accountants.merged([*others, *self.releases(rounds)])
    return accountants.epsilons(releases, self.relation, self.delta)

  def open_ledger(
    self, path: pathlib.Path, priors: Sequence[pathlib.Path] = ()
  ) -> ledger.Ledger:
    """Opens or creates the ledger of a run under this plan.

    Args:
      path: File of the ledger.
      priors: Ledgers (or run folders) of earlier runs on the same clients.

    Raises:
      UserError: See `ledger.Ledger.open`.
    """
    return ledger.Ledger.open(
      pathlib.Path(path),
      self.facts(),
      self.relation,
      [pathlib.Path(prior) for prior in priors],
      self.release,
    )

  def facts(self) -> dict[str, Any]:
    """Returns the settings of the plan, as its ledger records them.

    The dictionary is flat.  It has no number of rounds, since a later call may
    ask for more rounds.  See `recorded_plan`.

    Raises:
      UserError: If two parts of the plan have a setting of one name.
    """
    parts = (
      self.sampling.facts(),
      mechanisms.facts(self.mechanism),
      {
        'delta': self.delta,
        'unprotected_metrics': self.unprotected_metrics,
      },
    )
    names = collections.Counter(name for part in parts for name in part)
    twice = [name for name, count in names.items() if count > 1]
    errors.require(
      not twice,
      f'The sampling scheme {self.sampling.name!r} and the mechanism'
      f' {self.mechanism.name!r} cannot be recorded in one plan: rename the'
      f' fields {twice} of one of them.',
    )
    return event_records.plain(
      {name: value for part in parts for name, value in part.items()}
    )

  def with_noise(self, noise_multiplier: float) -> 'PrivacyPlan':
    """Returns this plan with another noise multiplier."""
    return dataclasses.replace(
      self, mechanism=self.mechanism.with_noise(noise_multiplier)
    )

  def with_noise_for(
    self, epsilon: float, others: accountants.Releases = ()
  ) -> 'PrivacyPlan':
    """Returns this plan with the least noise that meets a target epsilon.

    Args:
      epsilon: Target at `delta` after the planned rounds.
      others: Releases of other runs to the same clients.

    Raises:
      UserError: If no noise meets the target.
    """
    spent = accountants.epsilons(others, self.relation, self.delta).best
    errors.require(
      spent < epsilon,
      f'No noise meets epsilon {epsilon:g} at delta {self.delta:g}: the'
      f' epsilon of earlier runs is {spent:.4g}.',
    )

    def releases(noise_multiplier):
      own = self.with_noise(noise_multiplier)
      return accountants.merged([*others, *own.releases()])

    noise_multiplier = calibration.noise_multiplier(
      releases, self.relation, epsilon, self.delta
    )
    return self.with_noise(noise_multiplier)

  def with_population(self, population: int) -> 'PrivacyPlan':
    """Returns this plan for another population, with the same cohort size."""
    return dataclasses.replace(
      self,
      sampling=dataclasses.replace(self.sampling, population=population),
    )

  def hypothetical(self, cohort_size: int, population: int) -> 'PrivacyPlan':
    """Returns the plan with other sizes and the same noise on the *mean*.

    The multiplier on the sum grows with the expected cohort.  The same accuracy
    of training with these sizes is an assumption (McMahan et al., 2018, arXiv
    1710.06963; section 4.3 of Pelikan et al., 2025).  The epsilon of the
    hypothetical plan does not apply to the actual run.

    Args:
      cohort_size: Hypothetical number of clients S in a round.
      population: Hypothetical number of clients K.
    """
    sampling = dataclasses.replace(
      self.sampling, population=population, cohort_size=cohort_size
    )
    scale = sampling.expected_cohort / self.expected_cohort
    return dataclasses.replace(
      self,
      sampling=sampling,
      mechanism=self.mechanism.with_noise(self.noise_multiplier * scale),
    )
