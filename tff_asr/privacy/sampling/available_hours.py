"""When clients can take part: at some hours of the day."""

import dataclasses
import hashlib
import statistics

from tff_asr import errors

# Of the middles of clients' hours: time zones and habits.
_SPREAD = statistics.NormalDist(sigma=0.25)  # In days.


@dataclasses.dataclass(frozen=True)
class Daily:
  """Each client is there for the same part of every day, not all at once.

  A phone, for instance, that takes part while it charges at night.  The middle
  of a client's hours lies around one time of the day, with a standard deviation
  of six hours, so that many more clients are there at some rounds than at
  others.  It follows from the client's name alone: nobody's coming or going
  moves anybody else, and nothing of it depends on data.

  Attributes:
    hours: For which a client is there, of 24.
    rounds_a_day: Number of rounds in 24 hours.

  Raises:
    UserError: If a number is out of its range, or the hours are less than a
      round.
  """

  hours: float
  rounds_a_day: int

  def __post_init__(self):
    errors.require(
      0.0 < self.hours < 24.0,
      f'`hours={self.hours}` must be more than 0 and less than 24.',
    )
    errors.require(
      self.rounds_a_day >= 2 and 1 <= self._window < self.rounds_a_day,
      f'`hours={self.hours:g}` of a day of {self.rounds_a_day} rounds'
      ' (`rounds_a_day`) must be at least one round and less than all.',
    )

  @property
  def share(self) -> float:
    """Of the rounds of a day, those in which a client is there."""
    return self._window / self.rounds_a_day

  def is_there(self, client_id: str, round_number: int) -> bool:
    """Whether a client can take part in a round."""
    digest = hashlib.sha256(client_id.encode()).digest()
    # In (0, 1), of 53 bits: all that a float tells apart.
    chance = ((int.from_bytes(digest[:8], 'big') >> 11) + 0.5) / 2**53
    first = round(_SPREAD.inv_cdf(chance) * self.rounds_a_day)
    return (round_number - first) % self.rounds_a_day < self._window

  @property
  def _window(self) -> int:
    """Number of rounds for which a client is there without a break."""
    return round(self.hours / 24.0 * self.rounds_a_day)

  def __str__(self) -> str:
    return (
      f'{self._window} of the {self.rounds_a_day} rounds of a day, each at'
      ' hours of their own'
    )
