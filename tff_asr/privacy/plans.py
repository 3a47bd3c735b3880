"""The privacy plan: one object from which every part of the guarantee is made.

Sampling, clipping, denominator, noise, accountant and ledger come from the same
frozen plan, so that they cannot disagree; a combination that the accountant
cannot justify cannot be built.  The guarantee is for one user, that is, all the
data of one client.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import math
import pathlib

import dp_accounting
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from tff_asr import errors
from tff_asr.privacy import plan_words
from tff_asr.privacy.accounting import (
  accountants,
  calibration,
  ledger,
)
from tff_asr.privacy.mechanism import (
  aggregation,
  allocation,
  gaussian_query,
  layer_clipping,
  noise_seeds,
)
from tff_asr.privacy.sampling import cohorts, schemes


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrivacyPlan(schemes.Sampling):
  """A Gaussian mechanism on layer-clipped updates of sampled clients.

  What `sampling` means for the guarantee: with `fixed`, population sizes are
  public, and neighbours differ in the data of one client, which moves the sum
  by up to 2 C; with `none`, nothing is gained by chance.  All who are selected
  are accounted for, whether or not they drop out, and in all rounds, whether or
  not a client was there.

  Attributes:
    rounds: Number of rounds T that are planned.
    delta: Probability that the bound epsilon does not hold, less than 1 / K.
    noise_multiplier: Standard deviation z of the noise on the sum, over C, with
      all that a round releases included.  Zero means no guarantee.
    clipping: How updates are clipped.
    noise_allocation: How noise is divided over layers, see `allocation`.
    insecure_noise_seed: Debugging only: noise that repeats.  No guarantee.
    unprotected_metrics: Whether figures on clients are released without noise,
      beside the models.  The guarantee does not cover them.

  Raises:
    UserError: If a value is out of its range, or no true guarantee could be
      given for the combination; says which and what is allowed.
  """

  rounds: int
  delta: float
  noise_multiplier: float
  clipping: layer_clipping.LayerClipping
  noise_allocation: str = allocation.EQUAL
  insecure_noise_seed: int | None = None
  unprotected_metrics: bool = False

  def __post_init__(self):
    super().__post_init__()
    require = errors.require
    require(
      self.sampling != schemes.FIXED or self.availability is None,
      "sampling 'fixed' with available_hours: the number of clients who are"
      ' there changes by the round, which the accountant does not know of. Take'
      " 'poisson'.",
    )
    require(self.rounds >= 0, f'rounds {self.rounds} must be >= 0.')
    require(
      allocation.is_noise_multiplier(self.noise_multiplier),
      f'noise_multiplier {self.noise_multiplier} must be from'
      f' {allocation.LEAST_NOISE_MULTIPLIER:g} to'
      f' {allocation.GREATEST_NOISE_MULTIPLIER:g}, or 0 for none.',
    )
    require(
      0.0 < self.delta < 1.0 / self.population
      or (self.population == 1 and 0.0 < self.delta < 1.0),
      f'delta {self.delta} must be between 0 and 1 / {self.population}, one'
      ' over the population: a larger one allows to publish somebody whole.',
    )
    require(
      self.noise_allocation in allocation.NAMES,
      f'noise_allocation {self.noise_allocation!r} must be one of'
      f' {allocation.NAMES}.',
    )
    require(
      self.clipping.covers(self.noise_allocation),
      f"Clipping mode 'normalise' bounds the whole update, not each layer:"
      f' noise_allocation {self.noise_allocation!r} would not cover it. Use'
      " 'equal'.",
    )

  @property
  def is_guarantee(self) -> bool:
    """Whether any epsilon is promised."""
    return self.noise_multiplier > 0.0 and self.insecure_noise_seed is None

  @property
  def relation(self) -> accountants.Relation:
    """Which populations are neighbours."""
    if self.sampling == schemes.FIXED:
      return accountants.Relation.REPLACE_ONE
    return accountants.Relation.ADD_OR_REMOVE_ONE

  @property
  def noise_stddev(self) -> float:
    """Of the noise on each coordinate of the *sum*, where it is `equal`."""
    return self.noise_multiplier * self.clipping.clip_norm

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
    return super().cohorts(client_ids, insecure_seed)

  def query(self, layers: Mapping[str, int]) -> tfp.DPQuery:
    """Returns the query: clip, sum, add noise, divide by the expected cohort.

    Args:
      layers: Number of coordinates of each tensor of an update by its name, in
        the order of the update.
    """
    return tfp.NormalizedQuery(self.noised_sum(layers), self.expected_cohort)

  def noised_sum(
    self, layers: Mapping[str, int]
  ) -> gaussian_query.LayerClippedGaussianSumQuery:
    """Returns the query before the division."""
    return self.clipping.query(
      layers,
      self.noise_multiplier,
      self.noise_allocation,
      self.expected_cohort,
      noise_seeds.SeedSource(self.insecure_noise_seed),
    )

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
    return aggregation.PrivateAggregation(self.query, layers)

  def release(self, number: int) -> ledger.RoundRelease:
    """What a round releases, to be recorded before it does.

    Args:
      number: The round, from 1.
    """
    if not self.is_guarantee:
      return ledger.RoundRelease(dp_accounting.NonPrivateDpEvent())
    if self.sampling == schemes.FIXED:
      # Another client in the place of one moves the sum by up to 2 C.
      event = dp_accounting.SampledWithoutReplacementDpEvent(
        self.population,
        int(self.selected),
        dp_accounting.GaussianDpEvent(self.noise_multiplier / 2.0),
      )
      return ledger.RoundRelease(event)
    event = dp_accounting.GaussianDpEvent(self.noise_multiplier)
    if self.sampling == schemes.NONE:
      turn = (number - 1) % self.turns
      return ledger.RoundRelease(event, (turn, self.turns))
    return ledger.RoundRelease(
      dp_accounting.PoissonSampledDpEvent(self.probability, event)
    )

  def releases(self, rounds: int | None = None) -> accountants.Releases:
    """All that a client is released in, by default in the planned rounds."""
    rounds = self.rounds if rounds is None else rounds
    if self.sampling == schemes.NONE:
      rounds = math.ceil(rounds / self.turns)
    return ((self.release(1).event, rounds),) if rounds else ()

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
    facts = dataclasses.asdict(self)
    del facts['rounds']  # More may be asked for later.
    return ledger.Ledger.open(path, facts, self.relation, priors)

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
      own = dataclasses.replace(self, noise_multiplier=noise_multiplier)
      return accountants.merged([*others, *own.releases()])

    noise_multiplier = calibration.noise_multiplier(
      releases, self.relation, epsilon, self.delta
    )
    return dataclasses.replace(self, noise_multiplier=noise_multiplier)

  def hypothetical(self, cohort_size: int, population: int) -> 'PrivacyPlan':
    """Returns the plan with other sizes and the same noise on the *mean*.

    The multiplier on the sum grows with the expected cohort.  That training
    would reach the same accuracy there is an assumption (McMahan et al., 2018,
    arXiv 1710.06963; section 4.3 of Pelikan et al., 2025); its epsilon says
    nothing of the run at hand.
    """
    other = dataclasses.replace(
      self, population=population, cohort_size=cohort_size
    )
    scale = other.expected_cohort / self.expected_cohort
    return dataclasses.replace(
      other, noise_multiplier=self.noise_multiplier * scale
    )

  def __str__(self) -> str:
    return plan_words.wrapped(*self.in_words())

  def in_words(
    self, others: accountants.Releases = ()
  ) -> tuple[str, dict[str, str]]:
    """Returns what is promised, in a line, and its parts by their names.

    Args:
      others: What other runs have released to the same clients.
    """
    return plan_words.in_words(self, others)
