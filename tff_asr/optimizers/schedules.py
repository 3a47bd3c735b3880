"""How a learning rate changes from step to step.

Schedules of Pelikan et al. (2025, arXiv 2310.00098): constant, then falling
exponentially (the server's) or by jumps (central training).  A step of the
server is a round.
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
  """The share of a learning rate that a step takes.

  With t steps done, t0 `decay_start`, tau `decay_steps` and r `decay_rate`:

  ```
  constant      1
  cosine        (1 + cos(pi * t / steps)) / 2
  step          1 while t < t0, then r ** (1 + floor((t - t0) / tau))
  exponential   1 while t < t0, then r ** ((t - t0) / tau)
  ```

  times `(t + 1) / warmup_steps` where that is below 1.

  Attributes:
    name: One of `NAMES`.
    warmup_steps: Steps until the full rate; 0 and 1 are none.
    decay_start: Step before which a decaying rate is constant.
    decay_steps: Steps in which it then falls by `decay_rate`.
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
      'A learning rate must have warm-up steps and a start of its decay of at'
      ' least 0, and fall in at least 1 step: found'
      f' {self.warmup_steps}, {self.decay_start}, {self.decay_steps}.',
    )
    errors.require(
      0.0 < self.decay_rate <= 1.0,
      f'The decay rate {self.decay_rate} of a learning rate must be more than 0'
      ' and at most 1.',
    )

  @property
  def is_constant(self) -> bool:
    """Whether all steps are the same."""
    return self.name == CONSTANT and self.warmup_steps <= 1

  def share(self, step: tf.Tensor, steps: int | None = None) -> tf.Tensor:
    """Returns a scalar of type float32, from 0 to 1.

    Args:
      step: Steps done before, a scalar.
      steps: Number of steps in all, for a cosine.
    """
    done = tf.cast(step, tf.float32)
    share = tf.minimum((done + 1.0) / max(self.warmup_steps, 1), 1.0)
    schedules = tf.keras.optimizers.schedules
    if self.name == COSINE:
      share *= schedules.CosineDecay(1.0, steps)(done)
    elif self.name in DECAYING:
      jumps = self.name == STEP
      # The first jump is at the start.
      start = self.decay_start - (self.decay_steps if jumps else 0)
      share *= schedules.ExponentialDecay(
        1.0, self.decay_steps, self.decay_rate, staircase=jumps
      )(tf.maximum(done - float(start), 0.0))
    return share


UNCHANGED = Schedule()
