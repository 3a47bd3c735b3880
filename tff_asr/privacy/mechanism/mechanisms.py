"""Lists the mechanisms by name."""

from collections.abc import Mapping
from typing import Any

from tff_asr import errors, registry
from tff_asr.privacy.mechanism import (
  allocation,
  gaussian,
  layer_clipping,
  mechanism_protocol,
)

MECHANISMS: dict[str, type[mechanism_protocol.Mechanism]] = {
  mechanism.name: mechanism for mechanism in (gaussian.Gaussian,)
}
DEFAULT = gaussian.Gaussian.name
UNRECORDED = gaussian.Gaussian.name
"""Name of the mechanism if the record of a run has no name."""


def register(mechanism: type[mechanism_protocol.Mechanism]) -> None:
  """Adds a mechanism to `MECHANISMS` under its own name.

  Raises:
    UserError: If the mechanism lacks a part, or the name is another
      mechanism's.
  """
  words = ('name', 'help', 'assumed')
  registry.add_class(MECHANISMS, mechanism, 'mechanism', words)


def named(name: str) -> type[mechanism_protocol.Mechanism]:
  """Returns the mechanism with a name.

  Raises:
    UserError: If no mechanism has the name.
  """
  errors.require(
    name in MECHANISMS,
    f'`mechanism={name}` must be one of {tuple(MECHANISMS)}.',
  )
  return MECHANISMS[name]


def in_words() -> str:
  """Describes the mechanisms by name, for the help of a setting."""
  return ' '.join(f'{name}: {m.help}.' for name, m in MECHANISMS.items())


def make(
  name: str = DEFAULT,
  *,
  clipping: layer_clipping.LayerClipping | None,
  noise_multiplier: float | None,
  noise_allocation: str = allocation.EQUAL,
  insecure_noise_seed: int | None = None,
) -> mechanism_protocol.Mechanism | None:
  """Returns a mechanism, or `None` where updates are not clipped.

  Args:
    name: Name of the mechanism in `MECHANISMS`.
    clipping: Settings of the clipping, or `None` for no clipping and no
      guarantee.
    noise_multiplier: As in `Mechanism`.
    noise_allocation: As in `Mechanism`.
    insecure_noise_seed: As in `Mechanism`.

  Raises:
    UserError: If no mechanism has the name, the settings contradict each
      other, or there is noise without clipping.
  """
  mechanism = named(name)
  if clipping is None:
    errors.require(
      noise_multiplier == 0.0,
      'Noise without `clipping` protects nobody: one update may be of any'
      ' size. Give `clipping=per_layer`, or `noise_multiplier=0` and no'
      ' `target_epsilon`.',
    )
    return None
  return mechanism(
    clipping=clipping,
    noise_multiplier=noise_multiplier,
    noise_allocation=noise_allocation,
    insecure_noise_seed=insecure_noise_seed,
  )


def facts(mechanism: mechanism_protocol.Mechanism) -> dict[str, Any]:
  """Returns the settings of a mechanism, as the ledger records them.

  See `recorded`.
  """
  name = {'mechanism': mechanism.name} if mechanism.name != UNRECORDED else {}
  return name | mechanism.facts()


def recorded(record: Mapping[str, Any]) -> mechanism_protocol.Mechanism:
  """Returns the mechanism that a ledger records.

  Args:
    record: The settings from `facts`.

  Raises:
    KeyError, TypeError, ValueError: If this release cannot read the settings.
  """
  rest = dict(record)
  return named(rest.pop('mechanism', UNRECORDED)).recorded(rest)
