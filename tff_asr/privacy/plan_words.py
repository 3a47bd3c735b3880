"""A privacy plan in words."""

from collections.abc import Mapping
import math
import textwrap
from typing import TYPE_CHECKING

from tff_asr.privacy import accounting, sampling

if TYPE_CHECKING:
  from tff_asr.privacy import plan as plan_lib

_UNPROTECTED = (
  'UNPROTECTED figures on the clients, which this run releases beside the model'
)


def in_words(plan: 'plan_lib.PrivacyPlan') -> tuple[str, dict[str, str]]:
  """Returns what is promised, in a line, and its parts by their names."""
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
    'User-level differential privacy.',
    {
      'protects': f'all data of any one of {plan.population:,} clients',
      'neighbours': _NEIGHBOURS[plan.relation],
      'sampling': plan.sampling_in_words(),
      'clipping': str(plan.clipping),
      'noise': (
        f'Gaussian, multiplier {plan.noise_multiplier:.4g} over the bounds,'
        f' {plan.noise_allocation!r} over the layers, fresh each time'
      ),
      'mean': (
        f'the sum over {plan.expected_cohort:g}, the expected cohort; whoever'
        ' drops out, fails or sends no finite update counts as zero'
      ),
      'epsilon': (
        f'{epsilons_in_words(plan.epsilons())} at delta {plan.delta:g}, after'
        f' {plan.rounds} rounds'
      ),
      'covered': (
        'the models of all rounds, all else that is released of them, and'
        ' whatever is made of it'
      ),
      'assumed': _ASSUMED[plan.sampling],
      'not covered': (
        (_UNPROTECTED + '; ' if plan.unprotected_metrics else '')
        + 'speakers of a seed model or of the evaluation, settings chosen by'
        ' looking at results, attacks on floating-point noise'
      ),
    },
  )


_NEIGHBOURS = {
  accounting.Relation.ADD_OR_REMOVE_ONE: (
    'one client there or not, at the same probability of sampling'
  ),
  accounting.Relation.REPLACE_ONE: (
    'the data of one client replaced by any other; how many there are is public'
  ),
}

_ASSUMED = {
  sampling.POISSON: (
    'who is in a round stays unknown; clipping and noise are applied as'
    ' planned, by whoever adds up the updates'
  ),
  sampling.FIXED: (
    'who is in a round stays unknown; clipping and noise are applied as'
    ' planned, by whoever adds up the updates'
  ),
  sampling.NONE: (
    'clients keep to their turns; clipping and noise are applied as planned, by'
    ' whoever adds up the updates'
  ),
}


def epsilons_in_words(epsilons: accounting.Epsilons) -> str:
  """Both bounds, such as `4.22 by PLD, 4.44 by RDP`."""
  if math.isinf(epsilons.best):
    return 'none'
  known = [('PLD', epsilons.pld), ('RDP', epsilons.rdp)]
  return ', '.join(
    f'{accounting.text(value)} by {name}'
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
