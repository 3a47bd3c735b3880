"""Settles the privacy plan of a run before any file is written."""

from collections.abc import Callable, Mapping
import dataclasses
import pathlib

from tff_asr.privacy import plans, settings
from tff_asr.privacy.accounting import earlier_runs, ledger
from tff_asr.privacy.sampling import samplers
from tff_asr.runs import accounts, folders, lineage, participants, whole_ledger


@dataclasses.dataclass(frozen=True)
class RunPrivacy:
  """The privacy plan of a run, with the parts that depend on it.

  Attributes:
    plan: The plan, or `None` without rounds or without clipping.
    cohorts: Samples the clients of a round; `None` without rounds.
    hypothetical: The plan for another cohort size and population, which is
      reported as well, or `None`.
    prior_ledger: Ledgers of earlier runs on the same clients.
  """

  plan: plans.PrivacyPlan | None
  cohorts: samplers.Cohorts | None
  hypothetical: plans.PrivacyPlan | None
  prior_ledger: tuple[pathlib.Path, ...]

  @property
  def is_guarantee(self) -> bool:
    """Whether the population has a guarantee."""
    return self.plan is not None and self.plan.is_guarantee

  def open_account(self, paths: folders.RunPaths) -> accounts.Account:
    """Opens the ledger of the run, if the run has a plan.

    Raises:
      UserError: If the ledger records another plan, or lacks a round.
    """
    run_ledger = None
    if self.plan:
      whole_ledger.check(paths.path)
      run_ledger = self.plan.open_ledger(paths.ledger, self.prior_ledger)
    return accounts.Account(self.plan, run_ledger, self.hypothetical)


def settle(
  config: settings.PrivacyConfig,
  rounds: int,
  chosen: participants.Participants,
  run_dir: pathlib.Path,
  layer_sizes: Callable[[], Mapping[str, int]],
) -> RunPrivacy:
  """Makes the privacy plan of a run and checks that its guarantee is true.

  Args:
    config: Privacy settings.
    rounds: Number of rounds, 0 for none.
    chosen: The speakers of the run.
    run_dir: Folder of the run, which may be new.
    layer_sizes: Returns the sizes of the layers of the model, by name.

  Raises:
    UserError: If the guarantee would be false, or the run would break the
      guarantee of an earlier run.
  """
  plan = cohorts = hypothetical = None
  if rounds:
    for path in config.budget.prior_ledger if config.mechanism else ():
      whole_ledger.check(path)
    plan = config.plan(
      len(chosen.population), rounds, run_dir / ledger.FILE_NAME
    )
    cohorts = config.cohorts(plan, chosen.population)
  if plan:
    plan.query(layer_sizes())  # Checks that the plan fits the layers.
  if plan and plan.is_guarantee:
    hypothetical = config.hypothetical(plan)
    counted = earlier_runs.names(config.budget.prior_ledger)
    lineage.check_prior_ledgers(chosen.trained_on, chosen.names, counted)
  lineage.check_evaluated(
    lineage.of_run(chosen.seed_model) if chosen.seed_model else (),
    chosen.eval_store,
    config.unprotected_metrics,
  )
  return RunPrivacy(plan, cohorts, hypothetical, config.budget.prior_ledger)
