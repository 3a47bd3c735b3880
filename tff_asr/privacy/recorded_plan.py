"""The plan of a run, from its ledger."""

from tff_asr import errors
from tff_asr.privacy import plans
from tff_asr.privacy.accounting import ledger
from tff_asr.privacy.mechanism import layer_clipping
from tff_asr.privacy.sampling import availability


def of(run_ledger: ledger.Ledger, rounds: int) -> plans.PrivacyPlan:
  """Returns the plan that a ledger was opened with.

  Args:
    run_ledger: The ledger.
    rounds: Number of rounds planned, which it does not record.

  Raises:
    UserError: If it is not one of this release.
  """
  facts = dict(run_ledger.plan)
  try:
    clipping = dict(facts.pop('clipping'))
    clipping['given_bounds'] = tuple(map(tuple, clipping['given_bounds']))
    hours = facts.pop('availability', None)
    return plans.PrivacyPlan(
      rounds=rounds,
      clipping=layer_clipping.LayerClipping(**clipping),
      availability=hours and availability.Daily(**hours),
      **facts,
    )
  except (KeyError, TypeError, ValueError) as error:
    raise errors.UserError(
      f'The plan in {run_ledger.path} is none of this release: {error}.'
    ) from error
