"""Describes a privacy plan in words."""

from collections.abc import Mapping
import math
import textwrap

from tff_asr import counts
from tff_asr.privacy import plans
from tff_asr.privacy.accounting import accountants

_UNPROTECTED = (
  'UNPROTECTED figures on the clients, which this run releases beside the model'
)


def text(plan: plans.PrivacyPlan) -> str:
  """Describes a plan in lines of at most 80 columns."""
  return wrapped(*in_words(plan))


def in_words(
  plan: plans.PrivacyPlan, others: accountants.Releases = ()
) -> tuple[str, dict[str, str]]:
  """Describes the guarantee of a plan: a title, and its parts by name.

  Args:
    plan: The plan.
    others: Releases of other runs to the same clients.
  """
  if not plan.is_guarantee:
    why = (
      'no noise is added'
      if plan.noise_multiplier == 0.0
      else 'the noise follows from a seed'
    )
    return (
      'No privacy guarantee.',
      {
        'why': why,
        'clipping': plan.mechanism.clipping_in_words(),
        'epsilon': 'none',
      },
    )
  return (
    'User-level differential privacy.'
    if math.isfinite(plan.epsilons(others=others).best)
    else 'No privacy guarantee.',
    {
      'protects': f'all data of any one of {plan.population:,} clients',
      'neighbours': plan.sampling.neighbours,
      'sampling': plan.sampling.in_words(),
      'clipping': plan.mechanism.clipping_in_words(),
      'noise': plan.mechanism.noise_in_words(),
      'mean': (
        f'the sum over {plan.expected_cohort:g}, the expected cohort; a'
        ' client that drops out, fails or sends no finite update counts as zero'
      ),
      'epsilon': _planned(plan, others),
      'covered': (
        'the models of all rounds, everything else that this run writes about'
        ' the rounds, and everything computed from these'
      ),
      'assumed': f'{plan.sampling.assumed}; {plan.mechanism.assumed}',
      'not covered': (
        (_UNPROTECTED + '; ' if plan.unprotected_metrics else '')
        + 'speakers of a seed model or of the evaluation, settings chosen by'
        ' looking at results, an attacker who finds the random seed (128 bits)'
        ' of the noise'
      ),
    },
  )


def _planned(plan: plans.PrivacyPlan, others: accountants.Releases) -> str:
  """Describes the joint epsilon of all releases after the planned rounds."""
  at = f'at delta {plan.delta:g}, after {counts.text(plan.rounds, "round")}'
  alone = epsilons_in_words(plan.epsilons())
  if not others:
    return f'{alone} {at}'
  joint = plan.epsilons(others=others)
  if math.isinf(joint.best):
    return f'none, {NO_JOINT_EPSILON} (this run alone: {alone} {at})'
  return f'{epsilons_in_words(joint)} {at}, {with_earlier_runs(alone)}'


NO_JOINT_EPSILON = 'an earlier run on the same clients had no guarantee'


def with_earlier_runs(alone: str) -> str:
  """Describes a joint epsilon, given the words for the run alone."""
  return f'earlier runs included (this run alone: {alone})'


def epsilons_in_words(epsilons: accountants.Epsilons) -> str:
  """Describes both bounds, such as `4.22 by PLD, 4.44 by RDP`."""
  if math.isinf(epsilons.best):
    return 'none'
  known = [('PLD', epsilons.pld), ('RDP', epsilons.rdp)]
  return ', '.join(
    f'{accountants.text(value)} by {name}'
    for name, value in known
    if value is not None
  )


def wrapped(title: str, lines: Mapping[str, str]) -> str:
  """Formats the result of `in_words` in lines of at most 80 columns."""
  body = [
    textwrap.fill(
      text, 80, initial_indent=f'  {name:13}', subsequent_indent=' ' * 15
    )
    for name, text in lines.items()
  ]
  return '\n'.join([title, *body])
