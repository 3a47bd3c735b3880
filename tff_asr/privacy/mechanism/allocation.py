r"""Divides Gaussian noise over layer groups at equal privacy.

Every group h of a client's update is within its bound C_h, and the sum gets
noise of standard deviation sigma_h on each of the d_h coordinates of the group.

Joint multiplier.  Divide the coordinates of group h by sigma_h.  An observer
can compute the same values before and after this scaling.  The scaled sum is
one Gaussian mechanism with standard deviation 1 on every coordinate.  One
client changes the scaled sum by at most sqrt(sum_h (C_h / sigma_h)^2), and by
exactly this much if every group is at its bound.  So the noise multiplier, the
standard deviation divided by the sensitivity, is

  z = (sum_h C_h^2 / sigma_h^2)^(-1/2).

The accountant counts the mechanism once, not once for each group.  Each
allocation below has this z:

  equal      sigma_h = z C, with C^2 = sum_h C_h^2: the paper's allocation.
  per_layer  sigma_h = z sqrt(H) C_h: every group has the same ratio of noise to
             bound, since each of the H terms is 1 / (z^2 H).
  optimal    sigma_h^2 = z^2 (C_h / sqrt(d_h)) sum_i C_i sqrt(d_i): the least
             total energy sum_h d_h sigma_h^2.  By the Cauchy-Schwarz
             inequality, (sum_h C_h sqrt(d_h))^2 <= (sum_h C_h^2 / sigma_h^2)
             (sum_h d_h sigma_h^2).  So the energy is at least
             z^2 (sum_h C_h sqrt(d_h))^2.  This allocation attains it.

`equal` has the energy z^2 C^2 sum_h d_h.  This is optimal where C_h is
proportional to sqrt(d_h), as for the bounds `dim`.
"""

from collections.abc import Sequence
import math
import numbers

import tensorflow as tf

EQUAL = 'equal'
PER_LAYER = 'per_layer'
OPTIMAL = 'optimal'
NAMES = (EQUAL, PER_LAYER, OPTIMAL)
IN_WORDS = {
  EQUAL: 'the same on all layers',
  PER_LAYER: 'in proportion to the bound of each layer',
  OPTIMAL: 'divided over the layers for the least total energy',
}

# sigma_h >= z C_h in every allocation.  With the limits of the bounds, the
# noise of each group is from 1e-15 to 1e23.  So neither the noise nor a mean
# over the largest cohort overflows float32 or is flushed to zero.
LEAST_NOISE_MULTIPLIER, GREATEST_NOISE_MULTIPLIER = 1e-5, 2.0**30


def is_noise_multiplier(value: float) -> bool:
  """Returns whether a noise multiplier is 0 (no noise) or within the limits."""
  return isinstance(value, numbers.Real) and (
    value == 0.0 or LEAST_NOISE_MULTIPLIER <= value <= GREATEST_NOISE_MULTIPLIER
  )


def standard_deviations(
  name: str,
  noise_multiplier: float,
  bounds: tf.Tensor,
  sizes: Sequence[int],
) -> tf.Tensor:
  """Returns the standard deviation of the noise on the sum, by layer group.

  Args:
    name: One of `NAMES`.
    noise_multiplier: Joint multiplier z.
    bounds: float64 `[H]`, the bounds C_h.
    sizes: Number of coordinates d_h of each group.

  Returns:
    float64 `[H]`, sigma_h.
  """
  if name == EQUAL:
    return tf.fill([len(sizes)], noise_multiplier * tf.norm(bounds))
  if name == PER_LAYER:
    return noise_multiplier * math.sqrt(len(sizes)) * bounds
  if name == OPTIMAL:
    roots = tf.sqrt(tf.constant(sizes, tf.float64))
    total = tf.reduce_sum(bounds * roots)
    return noise_multiplier * tf.sqrt(bounds / roots * total)
  raise ValueError(f'Noise allocation {name!r} must be one of {NAMES}.')
