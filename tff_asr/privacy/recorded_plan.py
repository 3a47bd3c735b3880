"""Restores the plan of a run from its ledger."""

import dataclasses

from tff_asr import errors
from tff_asr.privacy import plans
from tff_asr.privacy.accounting import ledger
from tff_asr.privacy.mechanism import mechanisms
from tff_asr.privacy.sampling import schemes

_OF_PLAN = ('delta', 'unprotected_metrics')


def of(run_ledger: ledger.Ledger, rounds: int) -> plans.PrivacyPlan:
  """Returns the plan that a ledger records.

  Args:
    run_ledger: The ledger.
    rounds: Planned number of rounds, which the ledger does not record.

  Raises:
    UserError: If this release cannot read the plan.
  """
  facts = dict(run_ledger.plan)

  def taken(names):
    return {name: facts.pop(name) for name in names if name in facts}

  try:
    scheme = schemes.named(facts.pop('sampling'))
    of_sampling = [field.name for field in dataclasses.fields(scheme)]
    return plans.PrivacyPlan(
      rounds=rounds,
      sampling=scheme.recorded(taken(of_sampling)),
      **taken(_OF_PLAN),
      mechanism=mechanisms.recorded(facts),  # Only its settings remain.
    )
  except (KeyError, TypeError, ValueError) as error:
    raise errors.UserError(
      f'This release cannot read the plan in {run_ledger.path}: {error}.'
    ) from error
