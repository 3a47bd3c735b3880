"""Lists the sampling schemes, and defines the settings that choose one."""

import dataclasses

from tff_asr import errors, registry
from tff_asr.privacy.sampling import (
  available_hours,
  fixed_size,
  poisson,
  sampling_protocol,
  turns,
)

SCHEMES: dict[str, type[sampling_protocol.Scheme]] = {
  scheme.name: scheme
  for scheme in (poisson.Poisson, fixed_size.FixedSize, turns.Turns)
}
DEFAULT = poisson.Poisson.name


def register(scheme: type[sampling_protocol.Scheme]) -> None:
  """Adds a scheme to `SCHEMES` under its own name.

  Raises:
    UserError: If the scheme lacks a part, or the name is another scheme's.
  """
  words = ('name', 'help', 'neighbours', 'assumed')
  registry.add_class(SCHEMES, scheme, 'sampling scheme', words)


def named(name: str) -> type[sampling_protocol.Scheme]:
  """Returns the scheme with a name.

  Raises:
    UserError: If no scheme has the name.
  """
  errors.require(
    name in SCHEMES, f'`sampling={name}` must be one of {tuple(SCHEMES)}.'
  )
  return SCHEMES[name]


def in_words() -> str:
  """Describes the schemes by name, for the help of a setting."""
  return ' '.join(f'{name}: {s.help}.' for name, s in SCHEMES.items())


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingSettings:
  """Holds the settings of a scheme until its population is known.

  Attributes:
    sampling: Name of the scheme in `SCHEMES`.
    cohort_size: As in `Scheme`.
    over_selection: As in `Scheme`.
    availability: As in `Scheme`.
  """

  sampling: str = DEFAULT
  cohort_size: int
  over_selection: float = 1.0
  availability: available_hours.Daily | None = None

  def scheme(self, population: int) -> sampling_protocol.Scheme:
    """Returns the scheme for a population.

    Args:
      population: Number of clients that may be sampled.

    Raises:
      UserError: If no scheme has the name, or the scheme cannot draw cohorts
        with these settings.
    """
    return named(self.sampling)(
      population=population,
      cohort_size=self.cohort_size,
      over_selection=self.over_selection,
      availability=self.availability,
    )
