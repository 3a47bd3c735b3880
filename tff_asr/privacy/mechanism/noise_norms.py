"""Computes the norms of the noise in the mean update, layer by layer.

The norms come from the query that adds the noise.  They depend on settings and
public bounds alone, so they reveal nothing about the clients.
"""

from collections.abc import Mapping
import math

import tensorflow as tf

from tff_asr.privacy.mechanism import gaussian_query, grouping


class QueryNoiseNorms:
  """Computes the norms of the noise that a query adds."""

  def __init__(
    self,
    query: gaussian_query.LayerClippedGaussianSumQuery,
    groups: grouping.LayerGroups,
    layers: Mapping[str, int],
    denominator: float,
  ):
    """Stores the query and its sizes.

    Args:
      query: Query that adds the noise to the sum.
      groups: Layer groups of the query.
      layers: Number of coordinates of each tensor by its name.
      denominator: Denominator of the mean.
    """
    self._query = query
    self._groups = groups
    self._layers = dict(layers)
    self._denominator = denominator

  def of_round(
    self, bounds: Mapping[str, float] | None = None
  ) -> dict[str, float]:
    """Returns the root mean square norm of the noise in the mean, by tensor.

    Args:
      bounds: Bounds of the round by layer group; by default the bounds of the
        first round.
    """
    of_groups = self._query.initial_global_state().bounds
    if bounds is not None:
      of_groups = tf.constant(
        [bounds[name] for name in self._groups.names], tf.float64
      )
    stddevs = self._query.noise_stddevs(of_groups).numpy()
    sizes = zip(self._layers.items(), self._groups.members, strict=True)
    return {
      name: float(stddevs[group]) * math.sqrt(size) / self._denominator
      for (name, size), group in sizes
    }
