"""Computes epsilon, or a setting that meets a target, over a grid of plans."""

from collections.abc import Callable, Sequence
import dataclasses
import itertools
import math
import pathlib

from tff_asr import errors
from tff_asr.privacy import plan_words, plans
from tff_asr.privacy.accounting import accountants, calibration
from tff_asr.privacy.mechanism import (
  allocation,
  layer_clipping,
  mechanisms,
)
from tff_asr.privacy.sampling import schemes
from tff_asr.reports import plots

NOISE_MULTIPLIER = 'noise_multiplier'
COHORT_SIZE = 'cohort_size'
POPULATION = 'population'
ROUNDS = 'rounds'
AXES = (NOISE_MULTIPLIER, COHORT_SIZE, POPULATION, ROUNDS)
SOLVABLE = (NOISE_MULTIPLIER, COHORT_SIZE, POPULATION)


@dataclasses.dataclass(frozen=True)
class GridConfig:
  """Configures the grid of plans.

  Attributes:
    noise_multiplier: Noise multipliers, z.
    cohort_size: Cohort sizes, S.
    population: Population sizes, K.
    rounds: Numbers of rounds, T.
    delta: Delta of all plans.
    sampling: Sampling scheme of all plans, in `schemes.SCHEMES`.
    mechanism: Mechanism of all plans, in `mechanisms.MECHANISMS`.
    target_epsilon: Epsilon that each plan must meet, or `None`.
    solve_for: Setting to adapt to the target: the noise; the cohort, at the
      same noise on the mean; or the population.
    hypothetical: Cohort and population of a hypothetical plan, which is shown
      after a single plan.
  """

  noise_multiplier: Sequence[float]
  cohort_size: Sequence[int]
  population: Sequence[int]
  rounds: Sequence[int]
  delta: float
  sampling: str = schemes.DEFAULT
  mechanism: str = mechanisms.DEFAULT
  target_epsilon: float | None = None
  solve_for: str = NOISE_MULTIPLIER
  hypothetical: tuple[int, int] | None = None


def run(config: GridConfig, plot: pathlib.Path | None = None) -> str:
  """Returns a plan in words, or a table of several plans, and plots the plans.

  Args:
    config: The grid of plans.
    plot: PNG file to write, or `None`.

  Raises:
    UserError: If a plan is invalid, or no value meets the target.
  """
  points = list(itertools.product(*(getattr(config, a) for a in AXES)))
  found = [_plan(config, dict(zip(AXES, p, strict=True))) for p in points]
  if plot:
    _plot(config, points, found, plot)
  if len(found) > 1:
    return _table(found)
  (plan,) = found
  text = plan_words.text(plan)
  if config.target_epsilon:
    value = getattr(plan, config.solve_for)
    shown = f'{value:,}' if isinstance(value, int) else f'{value:.6g}'
    text += f'\n\n{config.solve_for} {shown} meets epsilon'
    text += f' {config.target_epsilon:g} at delta {config.delta:g}.'
    if config.solve_for == COHORT_SIZE:
      text += f" The plan's noise_multiplier is {plan.noise_multiplier:.6g}."
  if config.hypothetical:
    other = plan.hypothetical(*config.hypothetical)
    text += (
      f'\n\nHypothetical, with cohorts of {other.cohort_size:,} from'
      f' {other.population:,} clients and the same noise on the mean'
      f' (multiplier {other.noise_multiplier:.4g}):\n'
      f'{plan_words.epsilons_in_words(other.epsilons())}'
    )
  return text


def _plan(config: GridConfig, point: dict) -> plans.PrivacyPlan:
  plan = plans.PrivacyPlan(
    sampling=schemes.named(config.sampling)(
      population=point[POPULATION], cohort_size=point[COHORT_SIZE]
    ),
    mechanism=mechanisms.make(
      config.mechanism,
      clipping=layer_clipping.LayerClipping(1.0),
      noise_multiplier=point[NOISE_MULTIPLIER],
    ),
    rounds=point[ROUNDS],
    delta=config.delta,
  )
  if config.target_epsilon is None:
    return plan
  if config.solve_for == NOISE_MULTIPLIER:
    return plan.with_noise_for(config.target_epsilon)

  def least(make: Callable[[int], plans.PrivacyPlan], low, high):
    return make(
      calibration.least_integer(
        lambda value: make(value).releases(),
        plan.relation,
        config.target_epsilon,
        config.delta,
        low,
        high,
      )
    )

  if config.solve_for == POPULATION:
    return least(
      plan.with_population,
      plan.cohort_size,
      max(plan.cohort_size, int(1.0 / config.delta) - 1),
    )
  on_mean = plan.noise_multiplier / plan.expected_cohort
  errors.require(
    on_mean > 0.0, 'Without noise, no cohort meets a target epsilon.'
  )
  # Sampling in turns may give a third fewer clients in a round than requested.
  fewest = math.ceil(1.5 * allocation.LEAST_NOISE_MULTIPLIER / on_mean)
  return least(
    lambda size: plan.hypothetical(size, plan.population),
    min(plan.population, fewest),
    plan.population,
  )


def _table(found: Sequence[plans.PrivacyPlan]) -> str:
  lines = [
    f'{"noise":>10}{"cohort":>12}{"population":>15}{"rounds":>9}'
    f'{"epsilon":>11}{"by PLD":>11}{"by RDP":>11}'
  ]
  for plan in found:
    epsilons = plan.epsilons()
    by_name = ''.join(
      f'{"-" if value is None else accountants.text(value):>11}'
      for value in (epsilons.pld, epsilons.rdp)
    )
    lines.append(
      f'{plan.noise_multiplier:10.4g}{plan.cohort_size:12,}'
      f'{plan.population:15,}{plan.rounds:9,}'
      f'{accountants.text(epsilons.best):>11}{by_name}'
    )
  lines.append(
    f'at delta {found[0].delta:g}, sampling {found[0].sampling.name}'
  )
  return '\n'.join(lines)


def _plot(config: GridConfig, points, found, path: pathlib.Path) -> None:
  """Plots a curve over the longest axis for each combination of the others."""
  lengths = [len(getattr(config, axis)) for axis in AXES]
  errors.require(
    max(lengths) > 1,
    '`plot` needs several plans: give a list of values, such as'
    ' `noise_multiplier=0.5,1,2`.',
  )
  x = lengths.index(max(lengths))
  solved = config.target_epsilon is not None
  shown = [
    i for i in range(len(AXES)) if not (solved and AXES[i] == config.solve_for)
  ]

  def named(point, axes) -> str:
    return ', '.join(f'{AXES[i]} {point[i]:,}' for i in axes if i in shown)

  varied = [i for i in range(len(AXES)) if lengths[i] > 1 and i != x]
  lines: dict[str, list[tuple[float, plans.PrivacyPlan]]] = {}
  for point, plan in zip(points, found, strict=True):
    lines.setdefault(named(point, varied), []).append((point[x], plan))
  curves = []
  for name, line in lines.items():
    if solved:
      values = [(x, getattr(plan, config.solve_for)) for x, plan in line]
      curves.append(plots.Curve(name or config.solve_for, values))
      continue
    epsilons = [(x, plan.epsilons()) for x, plan in line]
    best = [(x, e.best) for x, e in epsilons]
    rdp = [(x, e.rdp) for x, e in epsilons if e.rdp is not None]
    curves += [plots.Curve(name or 'epsilon', best), plots.Curve('', rdp)]
  y_label = (
    f'{config.solve_for} for epsilon {config.target_epsilon:g}'
    if solved
    else 'epsilon (dotted: by RDP)'
  )
  same = named(points[0], [i for i in range(len(AXES)) if lengths[i] == 1])
  title = f'{same}, delta {config.delta:g}, sampling {config.sampling}'
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(plots.curves(curves, title.lstrip(', '), AXES[x], y_label))
