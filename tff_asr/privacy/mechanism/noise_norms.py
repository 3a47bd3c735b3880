"""How much noise there is in the mean update, layer by layer.

From the query that adds it.  Settings and public bounds decide it, so that it
tells nothing of the clients.
"""

from collections.abc import Mapping
import math

import tensorflow as tf

from tff_asr.privacy.mechanism import gaussian_query, grouping


class QueryNoiseNorms:
  """Norms of the noise that a query adds."""

  def __init__(
    self,
    query: gaussian_query.LayerClippedGaussianSumQuery,
    groups: grouping.LayerGroups,
    layers: Mapping[str, int],
    denominator: float,
  ):
    """Takes the parts.

    Args:
      query: Adds the noise to the sum.
      groups: Its layer groups.
      layers: Number of coordinates of each tensor by its name.
      denominator: Divides the sum.
    """
    self._query = query
    self._groups = groups
    self._layers = dict(layers)
    self._denominator = denominator

  def of_round(
    self, bounds: Mapping[str, float] | None = None
  ) -> dict[str, float]:
    """Root mean square of the norm of the noise in the mean, by tensor.

    Args:
      bounds: Of the round, by layer group; by default those of the first.
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
