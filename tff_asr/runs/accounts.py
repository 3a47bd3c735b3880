"""Reports the guarantee of a run, in figures and in words."""

from collections.abc import Sequence
import dataclasses
import math
import pathlib
import textwrap
from typing import Any

from tff_asr.privacy import plan_words, plans
from tff_asr.privacy.accounting import (
  accountants,
  earlier_runs,
  event_records,
  ledger,
  priors,
)
from tff_asr.runs import columns, whole_ledger

# An epsilon of 10 bounds the odds that an attacker gains by e^10, or 22,000.
_MEANINGFUL_EPSILON = 10.0

UNPROTECTED_NOTE = (
  'UNPROTECTED: this run was asked to release figures on its clients without'
  ' noise. Keep its folder as safe as the recordings. The guarantee covers only'
  ' the model, for a reader who has seen nothing else of the run.'
)

_OLD_LEDGER_NOTE = (
  'FALSE IN PLACES: some of the releases counted here come from an early'
  ' version (ledger version 1), so the epsilon may not hold. In these runs, the'
  ' choice of the seed speakers shows who is in the population; lineage.json'
  " beside the models contains a hash of all clients' data; and the noise came"
  ' from a generator of 23 bits, which can reveal who took part. The epsilon'
  ' holds for a reader who has seen neither these models nor their folders.'
  ' Keep both as safe as the recordings. To share a model, train a new one.'
)


def old_ledger_note(
  source: ledger.Ledger | priors.Priors | None,
) -> str | None:
  """Returns a note on why an epsilon may be false.

  Args:
    source: The ledger, or the earlier ledgers, that the epsilon is computed
      from; `None` without a ledger.

  Returns:
    The note, or `None` if no reason is known.
  """
  return _OLD_LEDGER_NOTE if source and source.has_old else None


@dataclasses.dataclass(frozen=True)
class Account:
  """The guarantee of a run, computed from the releases in its ledger.

  Attributes:
    plan: The privacy plan, or `None` without one.
    ledger: The releases under the plan, or `None` without a plan.
    hypothetical: The plan for another cohort size and population, or `None`.
  """

  plan: plans.PrivacyPlan | None
  ledger: ledger.Ledger | None
  hypothetical: plans.PrivacyPlan | None

  @property
  def is_unprotected(self) -> bool:
    """Whether figures were released without noise."""
    return bool(self.plan and self.plan.unprotected_metrics)

  def figures(self, rounds: int) -> dict[str, Any]:
    """Returns the figures of the guarantee for a file, by name.

    Args:
      rounds: Number of rounds done.
    """
    epsilons = self._epsilons()
    if epsilons is None:
      return {columns.EPSILON: 'none'}
    figures = {
      columns.EPSILON: epsilons.best,
      columns.EPSILON_RDP: epsilons.rdp,
      columns.EPSILON_PLD: epsilons.pld,
      'delta': self.plan.delta,
      'noise_multiplier': self.plan.noise_multiplier,
    }
    if self.ledger.has_priors:
      alone = self.ledger.own_epsilons(self.plan.delta)
      figures['epsilon_this_run_alone'] = alone.best
    if self.hypothetical:
      figures['hypothetical'] = {
        'cohort_size': self.hypothetical.cohort_size,
        'population': self.hypothetical.population,
        columns.EPSILON: self.hypothetical.epsilons(rounds).best,
      }
    if self.is_unprotected:
      figures['unprotected'] = UNPROTECTED_NOTE
    if old_ledger_note(self.ledger):
      figures['old_ledger'] = old_ledger_note(self.ledger)
    return figures

  @property
  def warnings(self) -> list[str]:
    """The paragraphs of `statement` that every reader must see."""
    old = old_ledger_note(self.ledger) if self._epsilons() else None
    unprotected = UNPROTECTED_NOTE if self.is_unprotected else None
    return [note for note in (old, unprotected) if note]

  @property
  def _others(self) -> accountants.Releases:
    """The releases of earlier runs on the same clients."""
    return self.ledger.prior_releases() if self.ledger else ()

  def plan_in_words(self) -> tuple[str, dict[str, str]]:
    """Returns the plan in words; its epsilon includes earlier runs."""
    return plan_words.in_words(self.plan, self._others)

  def planned(self, rounds: int) -> accountants.Epsilons:
    """Returns epsilon after `rounds` planned rounds and all earlier runs."""
    return self.plan.epsilons(rounds, self._others)

  def plan_text(self) -> str:
    """Returns the plan as lines, with a note if its epsilon may be false."""
    text = plan_words.wrapped(*self.plan_in_words())
    note = old_ledger_note(self.ledger) if self.plan.is_guarantee else None
    return f'{text}\n{textwrap.fill(note, 80)}' if note else text

  @property
  def protects(self) -> bool:
    """Whether there is a guarantee with an epsilon of at most 10."""
    epsilons = self._epsilons()
    return epsilons is not None and epsilons.best <= _MEANINGFUL_EPSILON

  def statement(self, rounds: int) -> list[str]:
    """States the guarantee and its limits, and the hypothetical epsilon.

    Args:
      rounds: Number of rounds done.

    Returns:
      The paragraphs.
    """
    plan, epsilons = self.plan, self._epsilons()
    if epsilons is None:
      return [f'none: {self._why_none()}, so there is no privacy guarantee.']
    own = (
      f'{plan_words.epsilons_in_words(epsilons)}, at delta {plan.delta:g}, for'
      f' each of the {plan.population:,} clients'
    )
    alone = epsilons
    if self.ledger.has_priors:
      alone = self.ledger.own_epsilons(plan.delta)
      words = plan_words.epsilons_in_words(alone)
      own += f', {plan_words.with_earlier_runs(words)}'
    own += '.'
    hypothetical = self.hypothetical
    if not self.protects:
      own += ' An epsilon of this size protects nobody'
      if alone.best > _MEANINGFUL_EPSILON:
        own += (
          ': enough noise to protect the clients would be too much for a'
          f' cohort of {plan.cohort_size}'
        )
        hypothetical = hypothetical or _meaningful(plan, rounds)
      own += '.'
    paragraphs = [own, *self.warnings]
    if hypothetical:
      at_scale = plan_words.epsilons_in_words(hypothetical.epsilons(rounds))
      by_itself = 'without earlier runs, ' * self.ledger.has_priors
      paragraphs.append(
        f'Hypothetical: {at_scale}, {by_itself}with cohorts of'
        f' {hypothetical.cohort_size:,} from {hypothetical.population:,}'
        ' clients and the same noise on the mean. This figure assumes that'
        ' training would work equally well at that size. This run does not have'
        ' that guarantee.'
      )
    return paragraphs

  def _epsilons(self) -> accountants.Epsilons | None:
    """Returns the epsilons of the whole ledger; `None` without a guarantee."""
    if self.plan is None or not self.plan.is_guarantee:
      return None
    epsilons = self.ledger.epsilons(self.plan.delta)
    return epsilons if math.isfinite(epsilons.best) else None

  def _why_none(self) -> str:
    if self.plan is None or not self.plan.noise_multiplier:
      return 'no noise was added'
    if not self.plan.is_guarantee:
      return 'the noise was computed from a seed'
    return plan_words.NO_JOINT_EPSILON


def _meaningful(
  plan: plans.PrivacyPlan, rounds: int
) -> plans.PrivacyPlan | None:
  """Returns the plan at the smallest sizes with an epsilon of at most 10.

  The cohort size and the population grow by the same factor: 1, 2 or 5 times a
  power of ten.  The result is `None` if no such size has a population below
  1 / delta.
  """
  for factor in (m * 10**power for power in range(7) for m in (1, 2, 5)):
    population = plan.population * factor
    if plan.delta * population >= 1.0:
      return None
    scaled = plan.hypothetical(plan.cohort_size * factor, population)
    if scaled.epsilons(rounds).best <= _MEANINGFUL_EPSILON:
      return scaled
  return None


def of_ledgers(paths: Sequence[pathlib.Path], delta: float) -> str:
  """Returns the joint epsilon of one or several runs on the same clients.

  Args:
    paths: The ledgers of the runs, or the run folders.
    delta: The delta of the epsilon.

  Returns:
    Lines of text: epsilon, the releases, and warnings.

  Raises:
    UserError: If a ledger cannot be read, delta is not below one over a
      population, or the ledgers differ in the relation of neighbouring
      populations.
  """
  for path in paths:
    whole_ledger.check(path)
    plan = ledger.Ledger(ledger.file_of(path)).plan
    accountants.check_delta(delta, plan.get('population', 1))
  relation = earlier_runs.relation_of(paths[0])
  known = earlier_runs.known(paths, relation)
  releases = known.releases()
  epsilons = accountants.epsilons(releases, relation, delta)
  lines = [
    f'{plan_words.epsilons_in_words(epsilons)}, at delta {delta:g}, for a'
    ' client in the population of all these releases:'
  ]
  lines += [
    f'{count:8,} x {event_records.in_words(event)}' for event, count in releases
  ]
  if epsilons.best > _MEANINGFUL_EPSILON:
    lines.append('An epsilon of this size protects nobody.')
  if old_ledger_note(known):
    lines.append(textwrap.fill(old_ledger_note(known), 80))
  return '\n'.join(lines)
