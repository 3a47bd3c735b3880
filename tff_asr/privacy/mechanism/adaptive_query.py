r"""Adapts the clipping bounds to the norms of the updates, layer by layer.

Andrew et al., "Differentially Private Learning with Adaptive Clipping" (2021,
arXiv 1905.03871), for H layer groups at once.  Each client also sends H clip
bits: +1/2 for a group within its bound, -1/2 for a group beyond its bound.  The
noised sum of the bits of group h, divided by the expected cohort S, plus 1/2,
estimates the share b_h of clients within the bound.  The next bound is

  C_h <- C_h exp(-rate (b_h - quantile)).

Sensitivity.  A client's bits are H numbers of magnitude 1/2.  Their L2 norm is
sqrt(H) / 2: adding or removing a client changes the sum of the bits by this
much.  For an update that is not finite, all bits are zero.  TFF's own processes
replace such an update by zeros before this query sees it; then its bits are the
bits of a zero update, all +1/2.  With noise of standard deviation sigma_b on
each sum, the bits are a Gaussian mechanism of multiplier 2 sigma_b / sqrt(H).
The update is a Gaussian mechanism of multiplier z_update for the bounds of this
round, which were known before the round.  The joint multiplier z of both is

  z^-2 = z_update^-2 + (2 sigma_b / sqrt(H))^-2

(both scaled to noise of 1, as in `allocation`).  The accountant counts z, the
multiplier of the whole.  The bounds follow from released values.
"""

import collections
from collections.abc import Sequence
import math
from typing import Any

import dp_accounting
import tensorflow as tf

from tff_asr.privacy.mechanism import (
  allocation,
  bounds,
  discrete_gaussian,
  gaussian_query,
  grouping,
  noise_seeds,
)

# A clip bit must be at least one step of its grid: 2^-22 of the noise.
_GREATEST_COUNT_STDDEV = discrete_gaussian.STDDEV / 2.0
# Largest share of the budget z^-2 for the bits, if their noise is not given.
_BITS_BUDGET = 0.1

Contribution = collections.namedtuple('Contribution', ['update', 'bits'])


def update_multiplier(
  noise_multiplier: float, count_stddev: float, layers: int
) -> float:
  """Returns the multiplier z_update that remains for the update.

  Args:
    noise_multiplier: Joint multiplier z of update and clip bits.
    count_stddev: Standard deviation sigma_b of the noise on each sum of bits.
    layers: Number H of layer groups.

  Raises:
    ValueError: If the bits alone cost as much as z allows.
  """
  if noise_multiplier == 0.0:
    return 0.0
  bits = 2.0 * count_stddev / math.sqrt(layers)
  if bits <= noise_multiplier:
    raise ValueError(
      f'Noise of {count_stddev:g} on the clip counts of {layers} layers has the'
      f' multiplier {bits:g}. It must be more than the joint multiplier'
      f' {noise_multiplier:g}: give noise of at least'
      f' {noise_multiplier * math.sqrt(layers) / 2:g}.'
    )
  return (noise_multiplier**-2 - bits**-2) ** -0.5


def default_count_stddev(
  noise_multiplier: float, expected_clients: float, layers: int
) -> float:
  """Returns the default noise on each sum of clip bits.

  The standard deviation is a twentieth of the cohort, as in Andrew et al.  With
  few clients and many layers, this would leave too little budget for the
  update.  Then the noise is larger, so that the bits take at most a tenth of
  the budget.

  Args:
    noise_multiplier: Joint multiplier z of update and clip bits.
    expected_clients: Expected size S of a cohort.
    layers: Number H of layer groups.
  """
  if noise_multiplier == 0.0:
    return 0.0
  frugal = noise_multiplier * math.sqrt(layers) / (2.0 * _BITS_BUDGET**0.5)
  return max(expected_clients / 20.0, frugal)


class AdaptiveLayerClippedGaussianSumQuery(
  gaussian_query.LayerClippedGaussianSumQuery
):
  """Sums updates, clipped by layer to bounds that follow a quantile."""

  def __init__(
    self,
    groups: grouping.LayerGroups,
    initial_bounds: Sequence[float],
    noise_multiplier: float,
    expected_clients: float,
    *,
    quantile: float = 0.5,
    rate: float = 0.2,
    count_stddev: float | None = None,
    noise_allocation: str = allocation.EQUAL,
    source: noise_seeds.SeedSource | None = None,
  ):
    """Builds the query.

    Args:
      groups: The layer groups.
      initial_bounds: L2 bound C_h of every group in the first round.
      noise_multiplier: Joint multiplier z of update and bits; 0 for no noise.
      expected_clients: Expected size S of a cohort.
      quantile: Share of clients whose norm is to be within the bound.
      rate: Step of the bounds, in the exponent.
      count_stddev: Standard deviation of the noise on each sum of clip bits;
        by default `default_count_stddev`.
      noise_allocation: Division of the noise on the update over the groups.
      source: Source of the seeds of the noise; by default a new one.

    Raises:
      ValueError: As for fixed bounds, or if the clip bits take all of the
        budget, or their noise is too large for the grid.
    """
    super().__init__(
      groups,
      initial_bounds,
      noise_multiplier,
      noise_allocation,
      source=source,
    )
    layers = len(groups.names)
    if count_stddev is None:
      count_stddev = default_count_stddev(
        noise_multiplier, expected_clients, layers
      )
    self._update_multiplier = update_multiplier(
      noise_multiplier, count_stddev, layers
    )
    if count_stddev > _GREATEST_COUNT_STDDEV:
      raise ValueError(
        f'Noise of {count_stddev:g} on the clip counts is more than'
        f' {_GREATEST_COUNT_STDDEV:g}: give less, or fixed bounds.'
      )
    # Rounding a bit down to whole steps of its grid makes the noise on the
    # counts at least `count_stddev`.
    self._bit = 1
    self._counts_are_noised = count_stddev > 0.0
    if self._counts_are_noised:
      self._bit = int(discrete_gaussian.STDDEV / (2.0 * count_stddev))
    self._expected_clients = expected_clients
    self._quantile = quantile
    self._rate = rate

  def initial_sample_state(self, template: Any = None) -> Contribution:
    return Contribution(
      super().initial_sample_state(template),
      tf.zeros([len(self._groups.names)], tf.int64),
    )

  def preprocess_record(
    self, params: gaussian_query.Params, record: Any
  ) -> Contribution:
    """Returns the contribution of one client: clipped update and clip bits.

    Bits are int64 `[H]`: +-1/2, counted in steps of a grid.  Without noise on
    the counts a step is 1/2.
    """
    clipped, norms, finite = self._clip(params, record)
    bit = tf.constant(self._bit, tf.int64)
    bits = tf.where(norms <= params.bounds, bit, -bit)
    return Contribution(clipped, tf.where(finite, bits, tf.zeros_like(bits)))

  def get_noised_result(
    self, sample_state: Contribution, global_state: gaussian_query.State
  ) -> Any:
    """Returns the noised sum, the state with the next bounds, and the event."""
    seeds = self._source.seeds(global_state.draw, len(self._groups.members) + 1)
    noised = self._add_noise(
      sample_state.update, global_state.bounds, seeds[:-1]
    )
    bits = sample_state.bits
    if self._counts_are_noised:
      (bits,) = discrete_gaussian.add_noise([bits], [seeds[-1]])
    count = tf.cast(bits, tf.float64) / (2.0 * self._bit)
    within = tf.clip_by_value(count / self._expected_clients + 0.5, 0.0, 1.0)
    adapted = global_state.bounds * tf.exp(
      -self._rate * (within - self._quantile)
    )
    state = gaussian_query.State(
      tf.clip_by_value(adapted, bounds.LEAST, bounds.GREATEST),
      global_state.draw + 1,
    )
    return noised, state, dp_accounting.GaussianDpEvent(self._noise_multiplier)

  def derive_metrics(
    self, global_state: gaussian_query.State
  ) -> collections.OrderedDict[str, tf.Tensor]:
    """Returns the bounds of the next round, which are public."""
    return collections.OrderedDict(bounds=global_state.bounds)
