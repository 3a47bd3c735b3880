"""Applies the Gaussian mechanism to layer-clipped updates."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import dp_accounting

from tff_asr import errors
from tff_asr.privacy.mechanism import (
  adaptive_query,
  allocation,
  bounds,
  gaussian_query,
  grouping,
  mechanism_protocol,
  noise_norms,
  noise_seeds,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gaussian(mechanism_protocol.Mechanism):
  """Adds discrete Gaussian noise to the sum of layer-clipped updates.

  Raises:
    UserError: As for `Mechanism`.
  """

  name = 'gaussian'
  help = 'fresh Gaussian noise on the sum of each round'

  @property
  def noise_stddev(self) -> float:
    """Standard deviation on each coordinate of the sum, for `equal` noise."""
    return self.noise_multiplier * self.clipping.clip_norm

  def check_answers(
    self, over_selection: float, client_drop_out: float
  ) -> None:
    # A client that drops out sends no clip bit: it counts half as within the
    # bound.
    most = min(1.0, over_selection * (1.0 - client_drop_out)) / 2.0 + 0.5
    errors.require(
      not self._is_adaptive or self.clipping.quantile < most,
      f'`quantile` must be less than {most:g} for a cohort in which'
      f' {client_drop_out:.0%} drop out, or the bounds grow without limit:'
      ' lower `quantile`, or raise `over_selection`.',
    )

  def event(self, contributions: float) -> dp_accounting.DpEvent:
    return dp_accounting.GaussianDpEvent(self.noise_multiplier / contributions)

  def noised_sum(
    self, layers: Mapping[str, int], expected_cohort: float
  ) -> gaussian_query.LayerClippedGaussianSumQuery:
    groups = self._groups(layers)
    layer_bounds = self.clipping.bounds_of(groups)
    source = noise_seeds.SeedSource(self.insecure_noise_seed)
    try:
      if self._is_adaptive:
        return adaptive_query.AdaptiveLayerClippedGaussianSumQuery(
          groups,
          layer_bounds,
          self.noise_multiplier,
          expected_cohort,
          quantile=self.clipping.quantile,
          rate=self.clipping.adaptation_rate,
          count_stddev=self.clipping.count_stddev,
          noise_allocation=self.noise_allocation,
          source=source,
        )
      return gaussian_query.LayerClippedGaussianSumQuery(
        groups,
        layer_bounds,
        self.noise_multiplier,
        noise_allocation=self.noise_allocation,
        mode=self.clipping.mode,
        source=source,
      )
    except ValueError as error:
      raise errors.UserError(str(error)) from error

  def released_bounds(
    self, layers: Mapping[str, int], measurements: Mapping[str, Any]
  ) -> dict[str, float]:
    found = measurements['dp_query_metrics'].get('bounds')
    if found is None:
      return {}
    names = self._groups(layers).names
    return {n: float(bound) for n, bound in zip(names, found, strict=True)}

  def noise_norms(
    self, layers: Mapping[str, int], expected_cohort: float
  ) -> noise_norms.QueryNoiseNorms:
    return noise_norms.QueryNoiseNorms(
      self.noised_sum(layers, expected_cohort),
      self._groups(layers),
      layers,
      expected_cohort,
    )

  def noise_in_words(self) -> str:
    z = f'{self.noise_multiplier:.4g}'
    if self._is_adaptive:
      size = f'noise multiplier {z} for updates and clip bits together'
    elif self.noise_allocation == allocation.EQUAL:
      size = f'standard deviation {z} x the clip norm'
    else:
      size = f'noise multiplier {z}'
    layers = allocation.IN_WORDS[self.noise_allocation]
    return f'discrete Gaussian, {size}, {layers}, new in every round'

  @property
  def _is_adaptive(self) -> bool:
    return self.clipping.layer_bounds == bounds.ADAPTIVE

  def _groups(self, layers: Mapping[str, int]) -> grouping.LayerGroups:
    return grouping.group(layers, self.clipping.layer_groups)
