"""The privacy plan: one object from which every part of the guarantee is made.

Sampling, clipping, denominator, noise, accountant and ledger come from the same
frozen plan, so that they cannot disagree; a combination that the accountant
cannot justify cannot be built.  The guarantee is for one user, that is, all the
data of one client.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

import dp_accounting
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from tff_asr import errors
from tff_asr.privacy.accounting import (
  accountants,
  calibration,
  ledger,
)
from tff_asr.privacy.mechanism import mechanism_protocol, mechanisms
from tff_asr.privacy.sampling import cohorts, sampling_protocol


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrivacyPlan:
  """A mechanism on the updates of sampled clients, for a number of rounds.

  Attributes:
    sampling: How the clients of a round are drawn, from which population.
    mechanism: How updates are clipped and noised.
    rounds: Number of rounds T that are planned.
    delta: Probability that the bound epsilon does not hold, less than 1 / K.
    unprotected_metrics: Whether figures on clients are released without noise,
      beside the models.  The guarantee does not cover them.

  Raises:
    UserError: If a value is out of its range, or no true guarantee could be
      given for the combination; names the value and the range.
  """

  sampling: sampling_protocol.Scheme
  mechanism: mechanism_protocol.Mechanism
  rounds: int
  delta: float
  unprotected_metrics: bool = False

  def __post_init__(self):
    require = errors.require
    self.sampling.check_accountable()
    require(self.rounds >= 0, f'`rounds={self.rounds}` must be >= 0.')
    require(
      self.noise_multiplier is not None,
      'A plan needs `noise_multiplier`: the noise that is added.',
    )
    require(
      0.0 < self.delta < 1.0 / self.population
      or (self.population == 1 and 0.0 < self.delta < 1.0),
      f'`delta={self.delta}` must be between 0 and 1 / {self.population}, one'
      ' over the population: a larger one allows to publish somebody whole.',
    )

  @property
  def population(self) -> int:
    """Number of clients K that may be sampled."""
    return self.sampling.population

  @property
  def cohort_size(self) -> int:
    """Clients S that a round is to have."""
    return self.sampling.cohort_size

  @property
  def expected_cohort(self) -> float:
    """The denominator of the mean, however many clients answered."""
    return self.sampling.expected_cohort

  @property
  def relation(self) -> accountants.Relation:
    """Which populations are neighbours."""
    return self.sampling.relation

  @property
  def noise_multiplier(self) -> float:
    """Standard deviation z of the noise on the sum, over C."""
    return self.mechanism.noise_multiplier

  @property
  def is_guarantee(self) -> bool:
    """Whether any epsilon is promised."""
    return self.mechanism.is_private

  def cohorts(
    self, client_ids: Sequence[str], insecure_seed: int | None = None
  ) -> cohorts.Cohorts:
    """Returns the sampler of this plan, unpredictable where chance matters.

    Args:
      client_ids: The population.
      insecure_seed: For repeatable cohorts, where nothing is promised.

    Raises:
      UserError: If it is not the plan's, or a client is in it twice, or chance
        would be predictable under a guarantee.
    """
    errors.require(
      insecure_seed is None or not self.is_guarantee,
      'Cohorts from a seed: the epsilon of this plan would not be true.',
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
    """Returns the query before the division."""
    return self.mechanism.noised_sum(layers, self.expected_cohort)

  def noise_norms(
    self, layers: Mapping[str, int]
  ) -> mechanism_protocol.NoiseNorms:
    """Returns the estimate of the noise in the mean by tensor."""
    return self.mechanism.noise_norms(layers, self.expected_cohort)

  def aggregation_factory(
    self, layers: Mapping[str, int] | None = None
  ) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns the only aggregation of client updates that this plan covers.

    Its result is covered.  A process around it may release more: see
    `learning.private_process`.

    Args:
      layers: As for `query`, checked against the type of the updates; by
        default from that type.
    """
    return self.mechanism.aggregation_factory(layers, self.expected_cohort)

  def release(self, number: int) -> ledger.RoundRelease:
    """Returns the release of a round, which is recorded before it happens.

    Args:
      number: The round, from 1.
    """
    if not self.is_guarantee:
      return ledger.RoundRelease(dp_accounting.NonPrivateDpEvent())
    event = self.mechanism.event(self.sampling.contributions)
    return self.sampling.release(number, event)

  def releases(self, rounds: int | None = None) -> accountants.Releases:
    """Returns the releases to one client, by default in the planned rounds."""
    rounds = self.rounds if rounds is None else rounds
    participations = self.sampling.participations(rounds)
    return ((self.release(1).event, participations),) if participations else ()

  def epsilons(
    self, rounds: int | None = None, others: accountants.Releases = ()
  ) -> accountants.Epsilons:
    """Epsilon at `delta` after a number of rounds; infinite without noise.

    Args:
      rounds: By default those planned.
      others: What other runs have released to the same clients.
    """
    releases = accountants.merged([*others, *self.releases(rounds)])
    return accountants.epsilons(releases, self.relation, self.delta)

  def open_ledger(
    self, path: pathlib.Path, priors: Sequence[pathlib.Path] = ()
  ) -> ledger.Ledger:
    """Opens or begins the ledger of a run under this plan.

    Args:
      path: Its file.
      priors: Ledgers (or run folders) of earlier runs on the same clients.

    Raises:
      UserError: See `ledger.Ledger.open`.
    """
    return ledger.Ledger.open(path, self.facts(), self.relation, priors)

  def facts(self) -> dict[str, Any]:
    """Returns the plan as its ledger records it; see `recorded_plan`.

    Flat, and without the number of rounds: more may be asked for later.
    """
    return {
      **self.sampling.facts(),
      **mechanisms.facts(self.mechanism),
      'delta': self.delta,
      'unprotected_metrics': self.unprotected_metrics,
    }

  def with_noise(self, noise_multiplier: float) -> 'PrivacyPlan':
    """Returns this plan with other noise."""
    return dataclasses.replace(
      self, mechanism=self.mechanism.with_noise(noise_multiplier)
    )

  def with_noise_for(
    self, epsilon: float, others: accountants.Releases = ()
  ) -> 'PrivacyPlan':
    """Returns this plan with the least noise that meets a target.

    Args:
      epsilon: Target at `delta` after the planned rounds.
      others: What other runs have released to the same clients.

    Raises:
      UserError: If no noise meets it.
    """
    spent = accountants.epsilons(others, self.relation, self.delta).best
    errors.require(
      spent < epsilon,
      f'No noise meets epsilon {epsilon:g} at delta {self.delta:g}: that of'
      f' earlier runs is {spent:.4g}.',
    )

    def releases(noise_multiplier):
      own = self.with_noise(noise_multiplier)
      return accountants.merged([*others, *own.releases()])

    noise_multiplier = calibration.noise_multiplier(
      releases, self.relation, epsilon, self.delta
    )
    return self.with_noise(noise_multiplier)

  def with_population(self, population: int) -> 'PrivacyPlan':
    """Returns this plan for another population, and the same cohorts."""
    return dataclasses.replace(
      self,
      sampling=dataclasses.replace(self.sampling, population=population),
    )

  def hypothetical(self, cohort_size: int, population: int) -> 'PrivacyPlan':
    """Returns the plan with other sizes and the same noise on the *mean*.

    The multiplier on the sum grows with the expected cohort.  That training
    would reach the same accuracy there is an assumption (McMahan et al., 2018,
    arXiv 1710.06963; section 4.3 of Pelikan et al., 2025); its epsilon says
    nothing of the run at hand.
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
