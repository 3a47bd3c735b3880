"""The plan of a run, from its ledger."""

import dataclasses

from tff_asr import errors
from tff_asr.privacy import plans
from tff_asr.privacy.accounting import ledger
from tff_asr.privacy.mechanism import mechanisms
from tff_asr.privacy.sampling import schemes

_OF_PLAN = ('delta', 'unprotected_metrics')


def of(run_ledger: ledger.Ledger, rounds: int) -> plans.PrivacyPlan:
  """Returns the plan that a ledger was opened with.

  Args:
    run_ledger: The ledger.
    rounds: Number of rounds planned, which it does not record.

  Raises:
    UserError: If it is not one of this release.
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
      mechanism=mechanisms.recorded(facts),  # The rest.
    )
  except (KeyError, TypeError, ValueError) as error:
    raise errors.UserError(
      f'The plan in {run_ledger.path} is none of this release: {error}.'
    ) from error
