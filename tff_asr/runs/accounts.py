"""What a run promises, once it has run, in figures and in words."""

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

# An epsilon above this bounds the odds an attacker gains by e^10, or 22,000.
_MEANINGFUL_EPSILON = 10.0

UNPROTECTED_NOTE = (
  'UNPROTECTED: this run was asked to release figures on its clients without'
  ' noise. Keep its folder as you would keep the recordings; the guarantee is'
  ' for the model alone, in the hands of somebody who has seen nothing else of'
  ' the run.'
)


_OLD_LEDGER_NOTE = (
  'FALSE IN PLACES: part of what is counted was released by an early version'
  ' (ledger version 1), whose epsilon may not hold: who was drawn for the seed'
  ' model tells who is in the population; lineage.json beside the models has a'
  " hash of all clients' data; and the noise came from a generator of 23 bits,"
  ' which can give away who took part. It holds for somebody who has seen'
  ' neither these models nor their folders. Keep them as you keep the'
  ' recordings, and train anew for a model to hand on.'
)


def old_ledger_note(
  source: ledger.Ledger | priors.Priors | None,
) -> str | None:
  """Returns what may be false of an epsilon, `None` if nothing is known to be.

  Args:
    source: What it was computed from.
  """
  return _OLD_LEDGER_NOTE if source and source.has_old else None


@dataclasses.dataclass(frozen=True)
class Account:
  """What a run promises, once it has run.

  Attributes:
    plan: The plan, if there is one.
    ledger: What was released under it.
    hypothetical: A plan at other sizes.
  """

  plan: plans.PrivacyPlan | None
  ledger: ledger.Ledger | None
  hypothetical: plans.PrivacyPlan | None

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
    """Paragraphs of `statement` that nobody must miss."""
    old = old_ledger_note(self.ledger) if self._epsilons() else None
    unprotected = UNPROTECTED_NOTE if self.is_unprotected else None
    return [note for note in (old, unprotected) if note]

  @property
  def _others(self) -> accountants.Releases:
    """What earlier runs have released to the same clients."""
    return self.ledger.prior_releases() if self.ledger else ()

  def plan_in_words(self) -> tuple[str, dict[str, str]]:
    """Returns the plan, with the epsilon that includes earlier runs."""
    return plan_words.in_words(self.plan, self._others)

  def planned(self, rounds: int) -> accountants.Epsilons:
    """Returns epsilon after a number of rounds as planned, earlier runs too."""
    return self.plan.epsilons(rounds, self._others)

  def plan_text(self) -> str:
    """Returns the plan as lines, and what is known to be false of it."""
    text = plan_words.wrapped(*self.plan_in_words())
    note = old_ledger_note(self.ledger) if self.plan.is_guarantee else None
    return f'{text}\n{textwrap.fill(note, 80)}' if note else text

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
    alone = epsilons
    if self.ledger.has_priors:
      alone = self.ledger.own_epsilons(plan.delta)
      words = plan_words.epsilons_in_words(alone)
      own += f', {plan_words.with_earlier_runs(words)}'
    own += '.'
    hypothetical = self.hypothetical
    if not self.protects:
      own += ' So large an epsilon protects nobody'
      if alone.best > _MEANINGFUL_EPSILON:
        own += (
          ': the noise that would is too much for a cohort of'
          f' {plan.cohort_size}'
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
        ' clients and the same noise on the mean. That training would go as'
        ' well there is an assumption, and says nothing of this run.'
      )
    return paragraphs

  def _epsilons(self) -> accountants.Epsilons | None:
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
    return plan_words.NO_JOINT_EPSILON


def _meaningful(
  plan: plans.PrivacyPlan, rounds: int
) -> plans.PrivacyPlan | None:
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
  for path in paths:
    whole_ledger.check(path)
  relation = earlier_runs.relation_of(paths[0])
  known = earlier_runs.known(paths, relation)
  releases = known.releases()
  epsilons = accountants.epsilons(releases, relation, delta)
  lines = [
    f'{plan_words.epsilons_in_words(epsilons)}, at delta {delta:g}, for a'
    ' client concerned by all of'
  ]
  lines += [
    f'{count:8,} x {event_records.in_words(event)}' for event, count in releases
  ]
  if epsilons.best > _MEANINGFUL_EPSILON:
    lines.append('So large an epsilon protects nobody.')
  if old_ledger_note(known):
    lines.append(textwrap.fill(old_ledger_note(known), 80))
  return '\n'.join(lines)
