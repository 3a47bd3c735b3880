"""A privacy plan in words."""

from collections.abc import Mapping
import math
import textwrap
from typing import TYPE_CHECKING

from tff_asr.privacy.accounting import accountants
from tff_asr.privacy.sampling import schemes

if TYPE_CHECKING:
  from tff_asr.privacy import plans

_UNPROTECTED = (
  'UNPROTECTED figures on the clients, which this run releases beside the model'
)


def in_words(
  plan: 'plans.PrivacyPlan', others: accountants.Releases = ()
) -> tuple[str, dict[str, str]]:
  """Returns what is promised, in a line, and its parts by their names.

  Args:
    plan: The plan.
    others: What other runs have released to the same clients.
  """
  if not plan.is_guarantee:
    why = (
      'no noise is added'
      if plan.noise_multiplier == 0.0
      else 'the noise follows from a seed (--insecure_noise_seed)'
    )
    return (
      'No privacy guarantee.',
      {'why': why, 'clipping': str(plan.clipping), 'epsilon': 'none'},
    )
  return (
    'User-level differential privacy.'
    if math.isfinite(plan.epsilons(others=others).best)
    else 'No privacy guarantee.',
    {
      'protects': f'all data of any one of {plan.population:,} clients',
      'neighbours': _NEIGHBOURS[plan.sampling],
      'sampling': plan.sampling_in_words(),
      'clipping': str(plan.clipping),
      'noise': (
        f'discrete Gaussian, multiplier {plan.noise_multiplier:.4g} over the'
        f' bounds, {plan.noise_allocation!r} over the layers, fresh each time'
      ),
      'mean': (
        f'the sum over {plan.expected_cohort:g}, the expected cohort; whoever'
        ' drops out, fails or sends no finite update counts as zero'
      ),
      'epsilon': _planned(plan, others),
      'covered': (
        'the models of all rounds, all else that this run writes of them, and'
        ' whatever is made of it'
      ),
      'assumed': _ASSUMED[plan.sampling],
      'not covered': (
        (_UNPROTECTED + '; ' if plan.unprotected_metrics else '')
        + 'speakers of a seed model or of the evaluation, settings chosen by'
        ' looking at results, who finds the 128 bits of a seed of the noise'
      ),
    },
  )


def _planned(plan: 'plans.PrivacyPlan', others: accountants.Releases) -> str:
  """Returns the epsilon that all come to when the rounds are done."""
  at = f'at delta {plan.delta:g}, after {plan.rounds} rounds'
  alone = epsilons_in_words(plan.epsilons())
  if not others:
    return f'{alone} {at}'
  joint = plan.epsilons(others=others)
  if math.isinf(joint.best):
    return f'none, {NO_JOINT_EPSILON} (this run alone: {alone} {at})'
  return f'{epsilons_in_words(joint)} {at}, {with_earlier_runs(alone)}'


NO_JOINT_EPSILON = 'an earlier run on the same clients had no guarantee'


def with_earlier_runs(alone: str) -> str:
  """Returns what is said of a joint epsilon, given that of the run alone."""
  return f'earlier runs included (this run alone: {alone})'


_NEIGHBOURS = {
  schemes.POISSON: (
    'one client there or not, at the same probability of sampling'
  ),
  schemes.FIXED: (
    'the data of one client replaced by any other; how many there are is public'
  ),
  schemes.NONE: 'one client there or not, at the same period of turns',
}

_ASSUMED = {
  schemes.POISSON: (
    'who is in a round stays unknown; clipping and noise are applied as'
    ' planned, by whoever adds up the updates'
  ),
  schemes.FIXED: (
    'who is in a round stays unknown; clipping and noise are applied as'
    ' planned, by whoever adds up the updates'
  ),
  schemes.NONE: (
    'clients keep to their turns; clipping and noise are applied as planned, by'
    ' whoever adds up the updates'
  ),
}


def epsilons_in_words(epsilons: accountants.Epsilons) -> str:
  """Both bounds, such as `4.22 by PLD, 4.44 by RDP`."""
  if math.isinf(epsilons.best):
    return 'none'
  known = [('PLD', epsilons.pld), ('RDP', epsilons.rdp)]
  return ', '.join(
    f'{accountants.text(value)} by {name}'
    for name, value in known
    if value is not None
  )


def wrapped(title: str, lines: Mapping[str, str]) -> str:
  """Returns what `in_words` gave as lines of 80 columns."""
  body = [
    textwrap.fill(
      text, 80, initial_indent=f'  {name:13}', subsequent_indent=' ' * 15
    )
    for name, text in lines.items()
  ]
  return '\n'.join([title, *body])
