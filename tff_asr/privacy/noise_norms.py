"""How much noise there is in the mean update, layer by layer.

From the query that adds it.  Settings and public bounds decide it, so that it
tells nothing of the clients.
"""

from collections.abc import Mapping
import math

import tensorflow as tf

from tff_asr.privacy import groups as groups_lib
from tff_asr.privacy import plan as plan_lib


def of_mean(
  plan: plan_lib.PrivacyPlan,
  layers: Mapping[str, int],
  bounds: Mapping[str, float] | None = None,
) -> dict[str, float]:
  """Root mean square of the norm of the noise in the mean, by tensor.

  Args:
    plan: What the round is under.
    layers: Number of coordinates of each tensor by its name.
    bounds: Of the round, by layer group; by default those of the first.
  """
  groups = groups_lib.group(layers, plan.clipping.layer_groups)
  query = plan.noised_sum(layers)
  of_round = query.initial_global_state().bounds
  if bounds is not None:
    of_round = tf.constant([bounds[g] for g in groups.names], tf.float64)
  stddevs = query.noise_stddevs(of_round).numpy()
  return {
    name: float(stddevs[group]) * math.sqrt(size) / plan.expected_cohort
    for (name, size), group in zip(layers.items(), groups.members, strict=True)
  }
