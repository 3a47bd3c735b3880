"""What a run promises, once it has run, in figures and in words."""

from collections.abc import Sequence
import dataclasses
import math
import pathlib
from typing import Any

from tff_asr.privacy import accounting, ledger, plan_words
from tff_asr.privacy import plan as plan_lib

# An epsilon above this bounds the odds an attacker gains by e^10, or 22,000.
_MEANINGFUL_EPSILON = 10.0

UNPROTECTED_NOTE = (
  'UNPROTECTED: this run was asked to release figures on its clients without'
  ' noise (--release_unprotected_metrics). Keep its folder as you would keep'
  ' the recordings; the guarantee is for the model alone, in the hands of'
  ' somebody who has seen nothing else of the run.'
)


@dataclasses.dataclass(frozen=True)
class Account:
  """What a run promises, once it has run.

  Attributes:
    plan: The plan, if there is one.
    ledger: What was released under it.
    hypothetical: A plan at other sizes.
  """

  plan: plan_lib.PrivacyPlan | None
  ledger: ledger.Ledger | None
  hypothetical: plan_lib.PrivacyPlan | None

  @property
  def is_unprotected(self) -> bool:
    """Whether figures were released that no noise protects."""
    return bool(self.plan and self.plan.unprotected_metrics)

  def figures(self, rounds: int) -> dict[str, Any]:
    """The figures of the guarantee, for a file.

    Args:
      rounds: Number of rounds done.
    """
    epsilons = self._epsilons()
    if epsilons is None:
      return {'epsilon': 'none'}
    figures = {
      'epsilon': epsilons.best,
      'epsilon_rdp': epsilons.rdp,
      'epsilon_pld': epsilons.pld,
      'delta': self.plan.delta,
      'noise_multiplier': self.plan.noise_multiplier,
    }
    if self.hypothetical:
      figures['hypothetical'] = {
        'cohort_size': self.hypothetical.cohort_size,
        'population': self.hypothetical.population,
        'epsilon': self.hypothetical.epsilons(rounds).best,
      }
    if self.is_unprotected:
      figures['unprotected'] = UNPROTECTED_NOTE
    return figures

  @property
  def protects(self) -> bool:
    """Whether epsilon is small enough to mean something."""
    epsilons = self._epsilons()
    return epsilons is not None and epsilons.best <= _MEANINGFUL_EPSILON

  def statement(self, rounds: int) -> list[str]:
    """Says in words what is guaranteed, what not, and what another run would.

    Args:
      rounds: Number of rounds done.

    Returns:
      Paragraphs.
    """
    plan, epsilons = self.plan, self._epsilons()
    if epsilons is None:
      return [f'none: {self._why_none()}, so there is no privacy guarantee.']
    own = (
      f'{plan_words.epsilons_in_words(epsilons)}, at delta {plan.delta:g}, for'
      f' each of the {plan.population:,} clients'
    )
    own += ', earlier runs included.' if self.ledger.has_priors else '.'
    hypothetical = self.hypothetical
    if not self.protects:
      own += (
        ' So large an epsilon protects nobody: the noise that would is too much'
        f' for a cohort of {plan.cohort_size}.'
      )
      hypothetical = hypothetical or _meaningful(plan, rounds)
    paragraphs = [own]
    if self.is_unprotected:
      paragraphs.append(UNPROTECTED_NOTE)
    if hypothetical:
      at_scale = plan_words.epsilons_in_words(hypothetical.epsilons(rounds))
      paragraphs.append(
        f'Hypothetical: {at_scale}, with cohorts of'
        f' {hypothetical.cohort_size:,} from {hypothetical.population:,}'
        ' clients and the same noise on the mean. That training would go as'
        ' well there is an assumption, and says nothing of this run.'
      )
    return paragraphs

  def _epsilons(self) -> accounting.Epsilons | None:
    """Of all in the ledger, or `None` where nothing is guaranteed."""
    if self.plan is None or not self.plan.is_guarantee:
      return None
    epsilons = self.ledger.epsilons(self.plan.delta)
    return epsilons if math.isfinite(epsilons.best) else None

  def _why_none(self) -> str:
    if self.plan is None or not self.plan.noise_multiplier:
      return 'no noise was added'
    if not self.plan.is_guarantee:
      return 'the noise followed from a seed'
    return 'an earlier run on the same clients had no guarantee'


def _meaningful(
  plan: plan_lib.PrivacyPlan, rounds: int
) -> plan_lib.PrivacyPlan | None:
  """The plan at the least round multiple of its sizes that protects."""
  for factor in (m * 10**power for power in range(7) for m in (1, 2, 5)):
    population = plan.population * factor
    if plan.delta * population >= 1.0:
      return None
    scaled = plan.hypothetical(plan.cohort_size * factor, population)
    if scaled.epsilons(rounds).best <= _MEANINGFUL_EPSILON:
      return scaled
  return None


def of_ledgers(paths: Sequence[pathlib.Path], delta: float) -> str:
  """Epsilon of what one or several runs on the same clients have released.

  Args:
    paths: Their ledgers, or run folders.
    delta: At which epsilon is meant.

  Raises:
    UserError: If a ledger cannot be read, or their neighbours differ.
  """
  relation = ledger.relation_of(paths[0])
  releases = ledger.released(paths, relation)
  epsilons = accounting.epsilons(releases, relation, delta)
  lines = [
    f'{plan_words.epsilons_in_words(epsilons)}, at delta {delta:g}, for a'
    ' client concerned by all of'
  ]
  lines += [f'{count:8,} x {event}' for event, count in releases]
  return '\n'.join(lines)
