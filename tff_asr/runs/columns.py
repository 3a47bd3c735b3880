"""Names of the columns of metrics.csv."""

from tff_asr.privacy import plans

UNPROTECTED = 'unprotected/'
SECONDS = 'seconds/'
TRAINING = f'{SECONDS}train'


def client_prefix(plan: plans.PrivacyPlan | None) -> str | None:
  """Returns what names of figures on clients begin with.

  Durations are among these figures: how long training takes depends on who
  took part, and what follows in the same process on what training left behind.

  Args:
    plan: The plan of the run, if there is one.

  Returns:
    The prefix, or `None` if no such figure may be released.
  """
  if plan is None:
    return ''
  return UNPROTECTED if plan.unprotected_metrics else None
