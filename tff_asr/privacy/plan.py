"""The privacy plan: one object from which every part of the guarantee is made.

Clipping, noise, denominator, sampling and accountant come from the same frozen
plan, so that they cannot disagree.  Its guarantee is for one user, that is, all
the data of one client: whether a user is in the population or not changes the
distribution of everything released by at most (epsilon, delta).
"""

from collections.abc import Sequence
import dataclasses
import math

import dp_accounting
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from tff_asr import errors
from tff_asr.privacy import bounds, gaussian_query


@dataclasses.dataclass(frozen=True)
class PrivacyPlan:
  """Poisson-sampled Gaussian mechanism on per-layer clipped updates.

  Attributes:
    population: Number of clients K that may be sampled.
    cohort_size: Expected number of clients in a round, S <= K.  Each client is
      in each round with probability S / K, independently; S is the denominator
      of the mean, however many answered.
    clip_norm: Most that one client contributes to the sum, C, in L2 norm.
    noise_multiplier: Standard deviation of the noise on each coordinate of the
      sum, over C.  Zero means clipping without any guarantee.
    delta: Probability that the bound epsilon does not hold.
    clipping: `per_layer` or `global` (the whole update is one layer).
    layer_bounds: `uniform` or `dim`, see `bounds`.

  Raises:
    UserError: If a value is out of its range; says which and what is allowed.
  """

  population: int
  cohort_size: int
  clip_norm: float
  noise_multiplier: float
  delta: float
  clipping: str = 'per_layer'
  layer_bounds: str = 'uniform'

  def __post_init__(self):
    def require(condition, message):
      if not condition:
        raise errors.UserError(message)

    require(
      1 <= self.cohort_size <= self.population,
      f'cohort_size {self.cohort_size} must be at least 1 and at most the '
      f'population of {self.population} clients.',
    )
    require(
      0.0 < self.clip_norm < math.inf,
      f'clip_norm {self.clip_norm} must be positive and finite.',
    )
    require(
      0.0 <= self.noise_multiplier < math.inf,
      f'noise_multiplier {self.noise_multiplier} must be finite and >= 0.',
    )
    require(
      self.noise_multiplier == 0.0
      or min(self.noise_multiplier, self.noise_stddev) >= 1e-12,
      f'noise_multiplier {self.noise_multiplier} at clip_norm {self.clip_norm}'
      ' is too little for float32 noise.',
    )
    require(
      0.0 < self.delta < 1.0, f'delta {self.delta} must be between 0 and 1.'
    )
    require(
      self.clipping in ('per_layer', 'global'),
      f"clipping {self.clipping!r} must be 'per_layer' or 'global'.",
    )
    require(
      self.layer_bounds in bounds.LAYER_BOUNDS,
      f'layer_bounds {self.layer_bounds!r} must be one of '
      f'{sorted(bounds.LAYER_BOUNDS)}.',
    )

  @property
  def sampling_probability(self) -> float:
    """Probability q = S / K with which a client is in a round."""
    return self.cohort_size / self.population

  @property
  def noise_stddev(self) -> float:
    """Standard deviation of the noise on each coordinate of the *sum*."""
    return self.noise_multiplier * self.clip_norm

  def query(self, sizes: Sequence[int]) -> tfp.DPQuery:
    """Returns the query: clip, sum, add noise, divide by the expected cohort.

    Args:
      sizes: Number of coordinates of each tensor of an update.
    """
    if self.clipping == 'global':
      layer_bounds, groups = [self.clip_norm], [0] * len(sizes)
    else:
      make_bounds = bounds.LAYER_BOUNDS[self.layer_bounds]
      layer_bounds, groups = make_bounds(self.clip_norm, sizes), None
    clipped_sum = gaussian_query.LayerClippedGaussianSumQuery(
      layer_bounds, self.noise_stddev, groups
    )
    return tfp.NormalizedQuery(clipped_sum, float(self.cohort_size))

  def aggregation_factory(
    self, weights: Sequence[tf.Variable]
  ) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns the only aggregation of client updates that this plan covers.

    Args:
      weights: The trainable tensors of the model; only their shapes matter.
    """
    sizes = [w.shape.num_elements() for w in weights]
    return tff.aggregators.DifferentiallyPrivateFactory(self.query(sizes))

  def epsilon(self, rounds: int) -> float:
    """Epsilon at `delta` after a number of rounds; infinite without noise.

    Renyi DP of the Poisson-sampled Gaussian (Mironov et al., 2019, arXiv
    1908.10530), users added or removed, by dp_accounting.
    """
    if rounds == 0:
      return 0.0
    if self.noise_multiplier == 0.0:
      return math.inf
    accountant = dp_accounting.rdp.RdpAccountant(
      neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE
    )
    event = dp_accounting.PoissonSampledDpEvent(
      self.sampling_probability,
      dp_accounting.GaussianDpEvent(self.noise_multiplier),
    )
    accountant.compose(dp_accounting.SelfComposedDpEvent(event, rounds))
    return float(accountant.get_epsilon(self.delta))

  def at_scale(self, factor: int) -> 'PrivacyPlan':
    """Returns the plan for a population and a cohort `factor` times as large.

    The noise on the *mean* stays the same, so that its multiplier on the sum
    grows by the factor.  That training would reach the same accuracy there is
    an assumption (McMahan et al., 2018, arXiv 1710.06963; section 4.3 of
    Pelikan et al., 2025), and its epsilon says nothing of the run at hand.
    """
    return dataclasses.replace(
      self,
      population=self.population * factor,
      cohort_size=self.cohort_size * factor,
      noise_multiplier=self.noise_multiplier * factor,
    )

  def __str__(self) -> str:
    unit = (
      'one layer'
      if self.clipping == 'global'
      else (f'every tensor to its {self.layer_bounds!r} bound')
    )
    if self.noise_multiplier == 0.0:
      return (
        f'No privacy guarantee: updates are clipped ({unit}, {self.clip_norm:g}'
        ' in all), but no noise is added.'
      )
    lines = {
      'sampling': (
        f'each of {self.population} clients is in a round with probability'
        f' {self.sampling_probability:.4g}, independently'
      ),
      'clipping': f'{unit}, at most {self.clip_norm:g} in all',
      'noise': (
        f'Gaussian, {self.noise_stddev:.4g} on each coordinate of the sum'
        f' (multiplier {self.noise_multiplier:g})'
      ),
      'mean': f'the sum over {self.cohort_size}, the expected cohort',
      'epsilon': f'by Renyi DP at delta {self.delta:g}',
      'covered': (
        'all that the rounds release: the model and what follows from it'
      ),
      'not covered': (
        'speakers of a seed model, choices of settings by looking at results,'
        ' attacks on floating-point noise'
      ),
    }
    return '\n'.join(
      ['User-level differential privacy, users added or removed.']
      + [f'  {name:12}{text}' for name, text in lines.items()]
    )
