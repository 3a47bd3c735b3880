"""Defines the privacy settings of a run, which make its privacy plan."""

from collections.abc import Sequence
import dataclasses
import pathlib

from tff_asr import errors
from tff_asr.privacy import plans
from tff_asr.privacy.accounting import (
  accountants,
  earlier_runs,
  ledger,
)
from tff_asr.privacy.mechanism import mechanism_protocol
from tff_asr.privacy.sampling import samplers, schemes

_GREATEST_TARGET = 1e4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
  """Limits the epsilon of a run.

  Attributes:
    delta: Delta of the guarantee.
    target_epsilon: Epsilon that the noise is calibrated to meet.  It is a
      `max_epsilon` as well.
    max_epsilon: Largest epsilon.  The rounds stop before epsilon would exceed
      this value.
    prior_ledger: Ledgers (or run folders) of earlier runs on the same clients.

  Raises:
    UserError: If a value is out of its range.
  """

  delta: float = 1e-9
  target_epsilon: float | None = None
  max_epsilon: float | None = None
  prior_ledger: tuple[pathlib.Path, ...] = ()

  def __post_init__(self):
    accountants.check_delta(self.delta)
    for name, value in self._limits.items():
      errors.require(
        0.0 < value <= _GREATEST_TARGET,
        f'`{name}={value}` must be positive and at most {_GREATEST_TARGET:g}.',
      )

  @property
  def limit(self) -> float | None:
    """Largest epsilon that the rounds may reach; `None` for no limit."""
    return min(self._limits.values(), default=None)

  def released(self, relation: accountants.Relation) -> accountants.Releases:
    """Returns the releases of earlier runs to the same clients.

    This detects a ledger with missing lines only before its last line.
    `runs.whole_ledger` also compares a ledger with the other files of its run.

    Args:
      relation: The neighbouring relation between populations.

    Raises:
      UserError: If a ledger cannot be read, or earlier runs have used the whole
        budget.
    """
    others = earlier_runs.released(self.prior_ledger, relation)
    spent = accountants.epsilons(others, relation, self.delta).best
    for name, value in self._limits.items():
      errors.require(
        spent < value,
        f'`{name}={value}`: the epsilon of the runs of `prior_ledger` is'
        f' already {spent:.4g}.',
      )
    return others

  @property
  def _limits(self) -> dict[str, float]:
    limits = {
      'target_epsilon': self.target_epsilon,
      'max_epsilon': self.max_epsilon,
    }
    return {name: e for name, e in limits.items() if e is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
  """Holds the privacy settings of a run; with a population they make its plan.

  Attributes:
    sampling: Settings of the sampling of cohorts.
    mechanism: Mechanism that clips updates and adds noise; `None` for no plan.
      With a target epsilon, its noise is not yet calibrated.
    budget: Limits of the run's epsilon.
    client_drop_out: Probability that a selected client does not answer.
    accounting_cohort_size: Cohort size of a hypothetical run, whose epsilon is
      reported as well.
    accounting_population: Population of the hypothetical run.
    insecure_cohort_seed: Seed of repeatable cohorts, only for runs without a
      guarantee.
    unprotected_metrics: Whether the run releases figures without the protection
      of noise.

  Raises:
    UserError: If the settings contradict each other.
  """

  sampling: schemes.SamplingSettings
  mechanism: mechanism_protocol.Mechanism | None
  budget: Budget = Budget()
  client_drop_out: float = 0.0
  accounting_cohort_size: int | None = None
  accounting_population: int | None = None
  insecure_cohort_seed: int | None = None
  unprotected_metrics: bool = False

  def __post_init__(self):
    errors.require(
      0.0 <= self.client_drop_out < 1.0,
      f'`client_drop_out={self.client_drop_out}` must be at least 0 and less'
      ' than 1.',
    )
    if self.mechanism:
      is_calibrated = self.mechanism.noise_multiplier is not None
      errors.require(
        is_calibrated == (self.budget.target_epsilon is None),
        'Give either `noise_multiplier` or `target_epsilon`, and not both.',
      )
      self.mechanism.check_answers(
        self.sampling.over_selection, self.client_drop_out
      )
    errors.require(
      self.mechanism is not None or self.budget.target_epsilon is None,
      '`target_epsilon` without `clipping`: there is no noise to calibrate.',
    )
    errors.require(
      self.budget.max_epsilon is None or self.promises,
      '`max_epsilon` without fresh noise: the first round would exceed any'
      ' limit.',
    )
    errors.require(
      self.budget.target_epsilon is None or self.promises,
      '`target_epsilon` with `insecure_noise_seed`: no epsilon holds for noise'
      ' that can be predicted. Give `noise_multiplier`.',
    )
    errors.require(
      self.insecure_cohort_seed is None or not self.promises,
      '`insecure_cohort_seed` with fresh noise: epsilon needs cohorts that'
      ' nobody can predict. Give `noise_multiplier=0`, or leave the seed out.',
    )
    errors.require(
      (self.accounting_cohort_size is None)
      == (self.accounting_population is None),
      '`accounting_cohort_size` and `accounting_population` need each other:'
      ' give both, or neither.',
    )
    errors.require(
      self.accounting_cohort_size is None or self.promises,
      '`accounting_cohort_size` without fresh noise: there is no epsilon,'
      ' hypothetical or other.',
    )

  @property
  def promises(self) -> bool:
    """Whether the run will have a guarantee."""
    return self.mechanism is not None and self.mechanism.is_private

  def cohorts(
    self, plan: plans.PrivacyPlan | None, client_ids: Sequence[str]
  ) -> samplers.Cohorts:
    """Returns the sampler of cohorts without the clients that drop out.

    Args:
      plan: The plan for this population, or `None`.
      client_ids: The population.

    Raises:
      UserError: If the population is too small for the cohorts.
    """
    seed = self.insecure_cohort_seed
    sampling = plan or self.sampling.scheme(len(client_ids))
    selected = sampling.cohorts(client_ids, seed)
    return samplers.with_drop_out(selected, self.client_drop_out, seed)

  def plan(
    self,
    population: int,
    rounds: int,
    run_ledger: pathlib.Path | None = None,
  ) -> plans.PrivacyPlan | None:
    """Returns the plan, or `None` if updates are not clipped.

    Args:
      population: Number of clients that may be sampled.
      rounds: Number of rounds in all.
      run_ledger: File of the run's ledger.  If the ledger exists, calibrated
        noise does not change.

    Raises:
      UserError: If the settings allow no true guarantee.
    """
    if self.mechanism is None:
      return None
    mechanism, target = self.mechanism, self.budget.target_epsilon
    if target is not None:
      mechanism = mechanism.with_noise(
        1.0
      )  # Until calibration, a plan needs a value.
    plan = plans.PrivacyPlan(
      sampling=self.sampling.scheme(population),
      mechanism=mechanism,
      rounds=rounds,
      delta=self.budget.delta,
      unprotected_metrics=self.unprotected_metrics,
    )
    others = self.budget.released(plan.relation)
    if target is None:
      return plan
    if run_ledger and ledger.has_begun(run_ledger):
      recorded = ledger.Ledger(run_ledger).plan['noise_multiplier']
      return plan.with_noise(recorded)
    return plan.with_noise_for(target, others)

  def hypothetical(self, plan: plans.PrivacyPlan) -> plans.PrivacyPlan | None:
    """Returns the hypothetical plan, whose epsilon is reported as well.

    Args:
      plan: The plan of the run.

    Raises:
      UserError: If no plan can have the hypothetical sizes.
    """
    if self.accounting_cohort_size is None:
      return None
    try:
      return plan.hypothetical(
        self.accounting_cohort_size, self.accounting_population
      )
    except errors.UserError as error:
      # Its settings are not the settings that the user gave.
      reason = str(error).replace('`', '')
      raise errors.UserError(
        f'`accounting_cohort_size` and `accounting_population`: {reason}'
      ) from error
