"""The privacy of a run, settled before anything is written."""

from collections.abc import Callable, Mapping
import dataclasses
import pathlib

from tff_asr.privacy import plans, settings
from tff_asr.privacy.accounting import earlier_runs, ledger
from tff_asr.privacy.sampling import cohorts as cohorts_lib
from tff_asr.runs import accounts, folders, lineage, participants, whole_ledger


@dataclasses.dataclass(frozen=True)
class RunPrivacy:
  """What a run is to promise.

  Attributes:
    plan: The plan, or `None` without rounds or without clipping.
    cohorts: Samples the clients of a round; `None` without rounds.
    hypothetical: A plan at other sizes that is reported as well, or `None`.
    prior_ledger: Ledgers of earlier runs on the same clients.
  """

  plan: plans.PrivacyPlan | None
  cohorts: cohorts_lib.Cohorts | None
  hypothetical: plans.PrivacyPlan | None
  prior_ledger: tuple[pathlib.Path, ...]

  @property
  def is_guarantee(self) -> bool:
    """Whether something is promised to the population."""
    return self.plan is not None and self.plan.is_guarantee

  def open_account(self, paths: folders.RunPaths) -> accounts.Account:
    """Opens the ledger of the run, if there is a plan.

    Raises:
      UserError: If the ledger is of another plan, or lacks a round.
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
  """Makes the privacy plan of a run; checks that the run may promise it.

  Args:
    config: Settings.
    rounds: Number of rounds, 0 for none.
    chosen: The speakers of the run.
    run_dir: Folder of the run, which may be new.
    layer_sizes: Returns the sizes of the layers of the model, by name.

  Raises:
    UserError: If the promise would be false, or an earlier one be broken.
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
    told = earlier_runs.names(config.budget.prior_ledger)
    lineage.check_told(chosen.trained_on, chosen.names, told)
  lineage.check_evaluated(
    lineage.of_run(chosen.seed_model) if chosen.seed_model else (),
    chosen.eval_store,
    config.unprotected_metrics,
  )
  return RunPrivacy(plan, cohorts, hypothetical, config.budget.prior_ledger)
