"""Restores the plan of a run from its ledger."""

from collections.abc import Mapping
import dataclasses
from typing import Any

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
    UserError: If the plan has a sampling scheme or a mechanism that is not
      registered, or this release cannot read the plan.
  """
  facts = dict(run_ledger.plan)
  _check_registered(run_ledger, facts)

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
      f'This release cannot read the plan in {run_ledger.path}:'
      f' {str(error).removesuffix(".")}.'
    ) from error


def _check_registered(
  run_ledger: ledger.Ledger, facts: Mapping[str, Any]
) -> None:
  for noun, key, default, table in (
    ('sampling scheme', 'sampling', schemes.DEFAULT, schemes.SCHEMES),
    ('mechanism', 'mechanism', mechanisms.UNRECORDED, mechanisms.MECHANISMS),
  ):
    name = facts.get(key, default)
    errors.require(
      not isinstance(name, str) or name in table,
      f'This release cannot read the plan in {run_ledger.path}: its {noun}'
      f' {name!r} is not registered (registered: {", ".join(table)}). Register'
      f' the {noun} first, in a script that then runs the command.',
    )
