"""Computes figures by layer and round from released metrics."""

from collections.abc import Mapping, Sequence
import math
from typing import NamedTuple

import numpy as np

from tff_asr.privacy import plans
from tff_asr.runs import columns

# A signal must exceed this many standard deviations of the noise's energy.
_CERTAIN = 3.0


class Heat(NamedTuple):
  """Figures by layer and round.

  Attributes:
    rounds: Numbers of the rounds, in increasing order.
    layers: Names of the layers.
    values: float64 `[layers, rounds]`, NaN where there is no figure.
  """

  rounds: Sequence[float]
  layers: Sequence[str]
  values: np.ndarray


def of_metrics(rows: Sequence[Mapping[str, float]], prefix: str) -> Heat | None:
  """Returns the metrics named `prefix` + layer, or `None` without any.

  Args:
    rows: Metrics by round.
    prefix: Start of the metrics' names, such as `columns.NORM`.
  """
  found = [(row[columns.ROUND], columns.of_layers(row, prefix)) for row in rows]
  found = [(number, figures) for number, figures in found if figures]
  if not found:
    return None
  layers = list(dict.fromkeys(n for _, figures in found for n in figures))
  values = [[f.get(layer, math.nan) for _, f in found] for layer in layers]
  return Heat([n for n, _ in found], layers, np.array(values, np.float64))


def logarithms(heat: Heat) -> Heat:
  """Returns base-10 logarithms; NaN where there is none.

  The norm of an empty cohort, for example, is 0 and has no logarithm.
  """
  with np.errstate(divide='ignore', invalid='ignore'):
    values = np.log10(heat.values)
  return heat._replace(values=np.where(np.isfinite(values), values, np.nan))


def noise(
  plan: plans.PrivacyPlan,
  layers: Mapping[str, int],
  rows: Sequence[Mapping[str, float]],
  norms: Heat,
) -> Heat:
  """Returns the root mean square of the norm of the noise in the aggregate.

  Args:
    plan: Privacy plan of the rounds.
    layers: Sizes of the model's layers.
    rows: Metrics by round. The clipping bounds in a row hold for the next
      round.
    norms: Norms of the aggregate, for their layers and rounds.
  """
  after = {
    row[columns.ROUND] + 1: columns.of_layers(row, columns.BOUND)
    for row in rows
  }
  norms_of = plan.noise_norms(layers).of_round
  at_first = norms_of()
  is_fixed = not any(after.values())

  def of_round(number: float) -> Mapping[str, float]:
    if is_fixed or number == 1:
      return at_first
    bounds = after.get(number)
    return norms_of(bounds) if bounds else {}

  by_round = [
    [found.get(layer, math.nan) for layer in norms.layers]
    for found in map(of_round, norms.rounds)
  ]
  return norms._replace(values=np.array(by_round).T)


def signal_to_noise(
  norms: Heat, noises: Heat, layers: Mapping[str, int]
) -> Heat:
  """Returns the ratio of the signal's energy to the noise's, in decibels.

  The expected energy of the aggregate is the sum of the energies of signal and
  noise. The excess over the noise's energy therefore estimates the signal's
  energy.  Where chance could explain the excess, the estimate is NaN.

  Args:
    norms: Norms of the noised aggregate.
    noises: Norms of the noise in the aggregate.
    layers: Sizes of the layers. The relative standard deviation of the energy
      of noise on d coordinates is sqrt(2 / d).
  """
  with np.errstate(divide='ignore', invalid='ignore'):
    excess = np.square(norms.values / noises.values) - 1.0
  sizes = np.array([layers[layer] for layer in norms.layers])[:, None]
  seen = excess > _CERTAIN * np.sqrt(2.0 / sizes)
  ratio = np.where(seen & np.isfinite(excess), excess, np.nan)
  return norms._replace(values=10.0 * np.log10(ratio))


def share_of_noise(norms: Heat, noises: Heat) -> np.ndarray:
  """Returns the noise's share of the aggregate's energy by round, at most 1."""
  both = np.isfinite(norms.values) & np.isfinite(noises.values)
  total, of_noise = (
    np.where(both, np.square(h.values), 0.0).sum(0) for h in (norms, noises)
  )
  with np.errstate(divide='ignore', invalid='ignore'):
    return np.minimum(of_noise / total, 1.0)
