r"""Bounds that follow the norms of the updates, layer by layer.

Andrew et al., "Differentially Private Learning with Adaptive Clipping" (2021,
arXiv 1905.03871), for H layer groups at once.  Each client also sends H clip
bits, +1/2 for a group within its bound and -1/2 for one beyond it; their noised
sum over the expected cohort S, plus 1/2, estimates the share b_h of clients
within the bound, and

  C_h <- C_h exp(-rate (b_h - quantile)).

Sensitivity.  A client's bits are H numbers of magnitude 1/2, or all zero if the
update is not finite: their L2 norm is at most sqrt(H) / 2, and by so much
adding or removing a client moves their sum.  With noise of standard deviation
sigma_b on each sum, the bits are a Gaussian mechanism of multiplier
2 sigma_b / sqrt(H).  Together with the update, of multiplier z_update for the
bounds of this round, which were known before it,

  z^-2 = z_update^-2 + (2 sigma_b / sqrt(H))^-2

(both scaled to noise of 1, as in `allocation`).  z, the multiplier of the
whole, is what is accounted for; the bounds follow from what was released.
"""

import collections
from collections.abc import Sequence
import math
from typing import Any

import dp_accounting
import tensorflow as tf

from tff_asr.privacy import allocation, gaussian_query
from tff_asr.privacy import groups as groups_lib
from tff_asr.privacy import noise as noise_lib

# Bounds that noise drives beyond all sense would overflow float32.
_LEAST_BOUND, _GREATEST_BOUND = 1e-10, 1e10
# Of the budget z^-2, what the bits get at most if their noise is not given.
_BITS_BUDGET = 0.1

Contribution = collections.namedtuple('Contribution', ['update', 'bits'])


def update_multiplier(
  noise_multiplier: float, count_stddev: float, layers: int
) -> float:
  """The multiplier z_update left for the update.

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
      f' multiplier {bits:g}, and must have more than the whole,'
      f' {noise_multiplier:g}: at least'
      f' {noise_multiplier * math.sqrt(layers) / 2:g}.'
    )
  return (noise_multiplier**-2 - bits**-2) ** -0.5


def default_count_stddev(
  noise_multiplier: float, expected_clients: float, layers: int
) -> float:
  """A twentieth of the cohort, or more, lest it cost a tenth of the budget.

  The twentieth is that of Andrew et al.; with few clients and many layers it
  would cost the update too much.
  """
  if noise_multiplier == 0.0:
    return 0.0
  frugal = noise_multiplier * math.sqrt(layers) / (2.0 * _BITS_BUDGET**0.5)
  return max(expected_clients / 20.0, frugal)


class AdaptiveLayerClippedGaussianSumQuery(
  gaussian_query.LayerClippedGaussianSumQuery
):
  """Sum of updates clipped by layers, to bounds that follow a quantile."""

  def __init__(
    self,
    groups: groups_lib.LayerGroups,
    initial_bounds: Sequence[float],
    noise_multiplier: float,
    expected_clients: float,
    quantile: float = 0.5,
    rate: float = 0.2,
    count_stddev: float | None = None,
    noise_allocation: str = allocation.EQUAL,
    source: noise_lib.GaussianSource | None = None,
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
      noise_allocation: How the noise on the update is divided.
      source: Of the noise; by default a new one.

    Raises:
      ValueError: As for fixed bounds, or if the clip bits cost too much.
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
    self._count_stddev = count_stddev
    self._expected_clients = expected_clients
    self._quantile = quantile
    self._rate = rate

  def initial_sample_state(self, template: Any = None) -> Contribution:
    return Contribution(
      super().initial_sample_state(template),
      tf.zeros([len(self._groups.names)], tf.float64),
    )

  def preprocess_record(self, params: tf.Tensor, record: Any) -> Contribution:
    """Returns what one client sends: the clipped update and the clip bits."""
    clipped, norms, finite = self._clip(params, record)
    bits = tf.where(norms <= params, 0.5, -0.5)
    bits = tf.where(finite, bits, 0.0)
    return Contribution(clipped, tf.cast(bits, tf.float64))

  def get_noised_result(
    self, sample_state: Contribution, global_state: gaussian_query.State
  ) -> Any:
    """Returns the noised sum, the state with the next bounds, the event."""
    *seeds, bits_seed = tf.unstack(
      self._source.seeds(global_state.draw, len(self._groups.members) + 1)
    )
    noised = self._add_noise(sample_state.update, global_state.bounds, seeds)
    bits = sample_state.bits
    bits += self._count_stddev * self._source.normal(bits, bits_seed)
    within = tf.clip_by_value(bits / self._expected_clients + 0.5, 0.0, 1.0)
    bounds = global_state.bounds * tf.exp(
      -self._rate * (within - self._quantile)
    )
    state = gaussian_query.State(
      tf.clip_by_value(bounds, _LEAST_BOUND, _GREATEST_BOUND),
      global_state.draw + 1,
    )
    return noised, state, dp_accounting.GaussianDpEvent(self._noise_multiplier)

  def derive_metrics(
    self, global_state: gaussian_query.State
  ) -> collections.OrderedDict[str, tf.Tensor]:
    """Returns the bounds of the next round, which are public."""
    return collections.OrderedDict(bounds=global_state.bounds)
