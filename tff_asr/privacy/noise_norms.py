"""How much noise there is in the mean update, layer by layer.

From the query that adds it.  Settings and public bounds decide it, so that it
tells nothing of the clients.
"""

from collections.abc import Mapping
import math

import tensorflow as tf

from tff_asr.privacy import plans
from tff_asr.privacy.mechanism import layer_groups


class NoiseNorms:
  """Norms of the noise in the rounds of a plan."""

  def __init__(self, plan: plans.PrivacyPlan, layers: Mapping[str, int]):
    """Takes the plan, and the number of coordinates of each tensor by name."""
    self._layers = dict(layers)
    self._groups = layer_groups.group(layers, plan.clipping.layer_groups)
    self._query = plan.noised_sum(layers)
    self._denominator = plan.expected_cohort

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
