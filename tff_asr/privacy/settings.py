"""From a run's settings to its privacy plan."""

from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

from tff_asr import errors
from tff_asr.privacy import plans
from tff_asr.privacy.accounting import (
  accountants,
  earlier_runs,
  ledger,
)
from tff_asr.privacy.mechanism import allocation, bounds, layer_clipping
from tff_asr.privacy.sampling import availability as availability_lib
from tff_asr.privacy.sampling import cohorts, schemes

_GREATEST_TARGET = 1e4


@dataclasses.dataclass(frozen=True)
class PrivacyConfig:
  """Settings of a run's privacy; with its population they make the plan.

  Attributes:
    sampling: How cohorts are drawn, see `PrivacyPlan`.
    cohort_size: Clients of a round.
    over_selection: Clients selected for each of them.
    drop_out: Probability with which a selected client does not answer.
    availability: When clients can take part, or `None` for always.
    clipping: How updates are clipped, or `None`: then there is no plan.
    noise_multiplier: Noise on the sum over the clip norm.
    target_epsilon: In its stead, an epsilon that the noise is to meet; it is a
      `max_epsilon` as well.
    noise_allocation: How noise is divided over layers.
    delta: Of the guarantee.
    max_epsilon: The rounds stop before epsilon would exceed it.
    prior_ledgers: Of earlier runs on the same clients.
    accounting_cohort_size: Of a hypothetical run that is reported as well.
    accounting_population: Of the same.
    insecure_noise_seed: For debugging; nothing is promised.
    insecure_cohort_seed: Makes cohorts repeatable; nothing may be promised.
    unprotected_metrics: Whether figures that no noise protects are released.

  Raises:
    UserError: If the settings contradict each other.
  """

  sampling: str
  cohort_size: int
  clipping: layer_clipping.LayerClipping | None
  noise_multiplier: float | None = None
  target_epsilon: float | None = None
  noise_allocation: str = allocation.EQUAL
  delta: float = 1e-9
  max_epsilon: float | None = None
  prior_ledgers: tuple[pathlib.Path, ...] = ()
  accounting_cohort_size: int | None = None
  accounting_population: int | None = None
  over_selection: float = 1.0
  drop_out: float = 0.0
  availability: availability_lib.Daily | None = None
  insecure_noise_seed: int | None = None
  insecure_cohort_seed: int | None = None
  unprotected_metrics: bool = False

  def __post_init__(self):
    require = errors.require
    both = (self.noise_multiplier is None) == (self.target_epsilon is None)
    require(
      not both,
      'Give either --noise_multiplier or --target_epsilon, and not both.',
    )
    for name in ('target_epsilon', 'max_epsilon'):
      value = getattr(self, name)
      require(
        value is None or 0.0 < value <= _GREATEST_TARGET,
        f'--{name}={value} must be positive and at most {_GREATEST_TARGET:g}.',
      )
    require(
      0.0 <= self.drop_out < 1.0,
      f'--client_drop_out={self.drop_out} must be at least 0 and less than 1.',
    )
    adaptive = self.clipping and self.clipping.layer_bounds == bounds.ADAPTIVE
    # A client who drops out counts as half a one within the bound.
    most = min(1.0, self.over_selection * (1.0 - self.drop_out)) / 2.0 + 0.5
    require(
      not adaptive or self.clipping.quantile < most,
      f'--clip_quantile of a cohort in which {self.drop_out:.0%} drop out must'
      f' be less than {most:g}, or the bounds grow without end: lower it, or'
      ' raise --over_selection.',
    )
    noised = self.noise_multiplier != 0.0
    if self.clipping is None:
      require(
        not noised,
        'Noise without --clipping protects nobody: one update may be of any'
        ' size. Give --clipping=per_layer, or --noise_multiplier=0 and no'
        ' --target_epsilon.',
      )
    require(
      self.max_epsilon is None or self.promises,
      '--max_epsilon without fresh noise: the first round would exceed any.',
    )
    require(
      self.target_epsilon is None or self.promises,
      '--target_epsilon with --insecure_noise_seed: no epsilon holds for noise'
      ' that can be predicted. Give --noise_multiplier.',
    )
    require(
      self.insecure_cohort_seed is None or not self.promises,
      '--insecure_cohort_seed with fresh noise: epsilon rests on cohorts that'
      ' nobody can predict. Give --noise_multiplier=0, or leave the seed out.',
    )
    require(
      (self.accounting_cohort_size is None)
      == (self.accounting_population is None),
      '--accounting_cohort_size and --accounting_population go together.',
    )
    require(
      self.accounting_cohort_size is None or self.promises,
      '--accounting_cohort_size without fresh noise: there is no epsilon,'
      ' hypothetical or other.',
    )

  @property
  def promises(self) -> bool:
    """Whether there will be a guarantee."""
    noised = self.clipping is not None and self.noise_multiplier != 0.0
    return noised and self.insecure_noise_seed is None

  @property
  def budget(self) -> float | None:
    """The epsilon that the rounds keep to, if there is one."""
    limits = [e for e in (self.max_epsilon, self.target_epsilon) if e]
    return min(limits, default=None)

  def cohorts(
    self, plan: plans.PrivacyPlan | None, client_ids: Sequence[str]
  ) -> cohorts.Cohorts:
    """Returns who takes part: as planned, less those who drop out.

    Args:
      plan: The plan of this population, if there is one.
      client_ids: The population.

    Raises:
      UserError: If the cohorts are more than the population can give.
    """
    seed = self.insecure_cohort_seed
    sampling = plan or schemes.Sampling(**self._sampling(len(client_ids)))
    selected = sampling.cohorts(client_ids, seed)
    return cohorts.with_drop_out(selected, self.drop_out, seed)

  def _sampling(self, population: int) -> dict[str, Any]:
    return dict(
      population=population,
      cohort_size=self.cohort_size,
      sampling=self.sampling,
      over_selection=self.over_selection,
      availability=self.availability,
    )

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
    if self.clipping is None:
      return None
    plan = plans.PrivacyPlan(
      **self._sampling(population),
      rounds=rounds,
      delta=self.delta,
      noise_multiplier=(
        1.0 if self.noise_multiplier is None else self.noise_multiplier
      ),
      clipping=self.clipping,
      noise_allocation=self.noise_allocation,
      insecure_noise_seed=self.insecure_noise_seed,
      unprotected_metrics=self.unprotected_metrics,
    )
    others = earlier_runs.released(self.prior_ledgers, plan.relation)
    spent = accountants.epsilons(others, plan.relation, plan.delta).best
    for name in ('target_epsilon', 'max_epsilon'):
      value = getattr(self, name)
      errors.require(
        value is None or spent < value,
        f'--{name}={value}: the epsilon of the runs of --prior_ledger is'
        f' {spent:.4g} already.',
      )
    if self.target_epsilon is None:
      return plan
    if run_ledger and ledger.has_begun(run_ledger):
      recorded = ledger.Ledger(run_ledger).plan['noise_multiplier']
      return dataclasses.replace(plan, noise_multiplier=recorded)
    return plan.with_noise_for(self.target_epsilon, others)

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
        f'--accounting_cohort_size and --accounting_population: {error}'
      ) from error
