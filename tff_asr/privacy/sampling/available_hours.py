"""Models availability: clients can take part at some hours of the day."""

import dataclasses
import hashlib
import statistics

from tff_asr import errors

# Clients differ in the middle of their hours: time zones and habits.
_SPREAD = statistics.NormalDist(sigma=0.25)  # In days.


@dataclasses.dataclass(frozen=True)
class Daily:
  """Makes each client available at its own hours, the same every day.

  An example is a phone that takes part while it charges at night.  All clients
  are available for the same number of hours.  The middles of their hours lie
  around one time of the day, with a standard deviation of six hours, so that
  many more clients are available in some rounds than in others.  A client's
  hours follow from its name alone: a client that joins or leaves the population
  does not change the hours of any other client.  Availability does not depend
  on data.

  Attributes:
    hours: Hours per day, of 24, for which a client is available.
    rounds_a_day: Number of rounds in 24 hours.

  Raises:
    UserError: If a number is out of its range, or the hours are less than one
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
    """Share of the rounds of a day in which a client is available."""
    return self._window / self.rounds_a_day

  def is_available(self, client_id: str, round_number: int) -> bool:
    """Returns whether a client can take part in a round."""
    digest = hashlib.sha256(client_id.encode()).digest()
    # In (0, 1), of 53 bits: the precision of a float.
    uniform = ((int.from_bytes(digest[:8], 'big') >> 11) + 0.5) / 2**53
    first = round(_SPREAD.inv_cdf(uniform) * self.rounds_a_day)
    return (round_number - first) % self.rounds_a_day < self._window

  @property
  def _window(self) -> int:
    """Number of consecutive rounds in which a client is available."""
    return round(self.hours / 24.0 * self.rounds_a_day)

  def __str__(self) -> str:
    return (
      f'{self._window} of the {self.rounds_a_day} rounds of a day, each'
      ' client at its own hours'
    )
