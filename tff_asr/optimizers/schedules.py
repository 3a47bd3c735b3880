"""Schedules of learning rates.

Pelikan et al. (2025, arXiv 2310.00098) use a constant rate that then decreases:
exponentially at the server, in jumps in central training.  A step of the server
is a round.
"""

import dataclasses

import tensorflow as tf

from tff_asr import errors

CONSTANT, COSINE, STEP, EXPONENTIAL = NAMES = (
  'constant',
  'cosine',
  'step',
  'exponential',
)
DECAYING = (STEP, EXPONENTIAL)


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A schedule: the factor of the learning rate in each step.

  After t steps, with t0 = `decay_start`, tau = `decay_steps` and
  r = `decay_rate`, the factor is

  ```
  constant      1
  cosine        (1 + cos(pi * t / steps)) / 2
  step          1 while t < t0, then r ** (1 + floor((t - t0) / tau))
  exponential   1 while t < t0, then r ** ((t - t0) / tau)
  ```

  times `min(1, (t + 1) / warmup_steps)`.

  Attributes:
    name: One of `NAMES`.
    warmup_steps: Number of steps until the full rate; 0 and 1 mean no warm-up.
    decay_start: Step before which a decaying rate is constant.
    decay_steps: Number of steps in which a decaying rate is multiplied by
      `decay_rate`.
    decay_rate: A factor, more than 0 and at most 1.

  Raises:
    UserError: If a number is out of its range.
  """

  name: str = CONSTANT
  warmup_steps: int = 0
  decay_start: int = 0
  decay_steps: int = 1
  decay_rate: float = 1.0

  def __post_init__(self):
    errors.require(
      self.name in NAMES,
      f'There is no schedule {self.name!r}: choose one of {", ".join(NAMES)}.',
    )
    errors.require(
      self.warmup_steps >= 0 and self.decay_start >= 0 and self.decay_steps > 0,
      'A schedule must have at least 0 warm-up steps, a decay that starts at'
      ' step 0 or later, and at least 1 decay step: got'
      f' {self.warmup_steps}, {self.decay_start}, {self.decay_steps}.',
    )
    errors.require(
      0.0 < self.decay_rate <= 1.0,
      f'The decay rate {self.decay_rate} of a schedule must be more than 0 and'
      ' at most 1.',
    )

  @property
  def is_constant(self) -> bool:
    """Whether the factor is 1 in all steps."""
    return self.name == CONSTANT and self.warmup_steps <= 1

  def share(self, step: tf.Tensor, steps: int | None = None) -> tf.Tensor:
    """Returns the factor of the learning rate, a float32 scalar from 0 to 1.

    Args:
      step: Number of previous steps, a scalar.
      steps: Total number of steps; needed for `cosine`.
    """
    done = tf.cast(step, tf.float32)
    share = tf.minimum((done + 1.0) / max(self.warmup_steps, 1), 1.0)
    schedules = tf.keras.optimizers.schedules
    if self.name == COSINE:
      share *= schedules.CosineDecay(1.0, steps)(done)
    elif self.name in DECAYING:
      jumps = self.name == STEP
      # The first jump is at `decay_start`.
      start = self.decay_start - (self.decay_steps if jumps else 0)
      share *= schedules.ExponentialDecay(
        1.0, self.decay_steps, self.decay_rate, staircase=jumps
      )(tf.maximum(done - float(start), 0.0))
    return share


UNCHANGED = Schedule()
