"""Settings of a run's privacy, which make its privacy plan."""

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
from tff_asr.privacy.sampling import cohorts, schemes

_GREATEST_TARGET = 1e4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
  """The epsilon that a run may come to.

  Attributes:
    delta: Of the guarantee.
    target_epsilon: An epsilon that the noise is to meet; it is a `max_epsilon`
      as well.
    max_epsilon: The rounds stop before epsilon would exceed it.
    prior_ledger: Ledgers (or run folders) of earlier runs on the same clients.

  Raises:
    UserError: If a value is out of its range.
  """

  delta: float = 1e-9
  target_epsilon: float | None = None
  max_epsilon: float | None = None
  prior_ledger: tuple[pathlib.Path, ...] = ()

  def __post_init__(self):
    for name, value in self._limits.items():
      errors.require(
        0.0 < value <= _GREATEST_TARGET,
        f'`{name}={value}` must be positive and at most {_GREATEST_TARGET:g}.',
      )

  @property
  def limit(self) -> float | None:
    """The epsilon that the rounds keep to, if there is one."""
    return min(self._limits.values(), default=None)

  def released(self, relation: accountants.Relation) -> accountants.Releases:
    """Returns the releases of earlier runs to the same clients.

    Args:
      relation: Which populations are neighbours.

    Raises:
      UserError: If a ledger cannot be read, or nothing is left of the budget.
    """
    others = earlier_runs.released(self.prior_ledger, relation)
    spent = accountants.epsilons(others, relation, self.delta).best
    for name, value in self._limits.items():
      errors.require(
        spent < value,
        f'`{name}={value}`: the epsilon of the runs of `prior_ledger` is'
        f' {spent:.4g} already.',
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
  """Settings of a run's privacy; with its population they make the plan.

  Attributes:
    sampling: How cohorts are drawn.
    mechanism: How updates are clipped and noised, or `None`: then there is no
      plan.  Its noise is yet to be calibrated if there is a target.
    budget: The epsilon that the run may come to.
    client_drop_out: Probability that a selected client does not answer.
    accounting_cohort_size: Of a hypothetical run that is reported as well.
    accounting_population: Of the same.
    insecure_cohort_seed: Makes cohorts repeatable; nothing may be promised.
    unprotected_metrics: Whether figures that no noise protects are released.

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
      '`max_epsilon` without fresh noise: the first round would exceed any.',
    )
    errors.require(
      self.budget.target_epsilon is None or self.promises,
      '`target_epsilon` with `insecure_noise_seed`: no epsilon holds for noise'
      ' that can be predicted. Give `noise_multiplier`.',
    )
    errors.require(
      self.insecure_cohort_seed is None or not self.promises,
      '`insecure_cohort_seed` with fresh noise: epsilon rests on cohorts that'
      ' nobody can predict. Give `noise_multiplier=0`, or leave the seed out.',
    )
    errors.require(
      (self.accounting_cohort_size is None)
      == (self.accounting_population is None),
      '`accounting_cohort_size` and `accounting_population` go together.',
    )
    errors.require(
      self.accounting_cohort_size is None or self.promises,
      '`accounting_cohort_size` without fresh noise: there is no epsilon,'
      ' hypothetical or other.',
    )

  @property
  def promises(self) -> bool:
    """Whether there will be a guarantee."""
    return self.mechanism is not None and self.mechanism.is_private

  def cohorts(
    self, plan: plans.PrivacyPlan | None, client_ids: Sequence[str]
  ) -> cohorts.Cohorts:
    """Returns the sampler of the rounds: the plan's, without dropped clients.

    Args:
      plan: The plan of this population, if there is one.
      client_ids: The population.

    Raises:
      UserError: If the cohorts are more than the population can give.
    """
    seed = self.insecure_cohort_seed
    sampling = plan or self.sampling.scheme(len(client_ids))
    selected = sampling.cohorts(client_ids, seed)
    return cohorts.with_drop_out(selected, self.client_drop_out, seed)

  def plan(
    self,
    population: int,
    rounds: int,
    run_ledger: pathlib.Path | None = None,
  ) -> plans.PrivacyPlan | None:
    """Returns the plan, or `None` where updates are not clipped.

    Args:
      population: Number of clients that may be sampled.
      rounds: Number of rounds in all.
      run_ledger: Where the run has its ledger once it has begun; noise that was
        made to meet a target then stays as it is.

    Raises:
      UserError: If no true guarantee can be made of the settings.
    """
    if self.mechanism is None:
      return None
    mechanism, target = self.mechanism, self.budget.target_epsilon
    if target is not None:
      mechanism = mechanism.with_noise(1.0)  # To begin with.
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
    """The hypothetical plan whose epsilon is reported beside the run's own.

    Raises:
      UserError: If its sizes are no plan.
    """
    if self.accounting_cohort_size is None:
      return None
    try:
      return plan.hypothetical(
        self.accounting_cohort_size, self.accounting_population
      )
    except errors.UserError as error:
      raise errors.UserError(
        f'`accounting_cohort_size` and `accounting_population`: {error}'
      ) from error
