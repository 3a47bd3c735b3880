"""Converts events of dp_accounting to JSON, for a ledger, and to words."""

from collections.abc import Mapping
from typing import Any

import attr
import dp_accounting
import numpy as np

from tff_asr import errors

_EVENTS = {
  cls.__name__: cls
  for cls in (
    dp_accounting.GaussianDpEvent,
    dp_accounting.NonPrivateDpEvent,
    dp_accounting.PoissonSampledDpEvent,
    dp_accounting.SampledWithoutReplacementDpEvent,
  )
}


def to_json(event: dp_accounting.DpEvent) -> dict[str, Any]:
  """Returns an event as a record for `from_json`."""
  fields = plain(attr.asdict(event, recurse=False))
  return {
    'type': type(event).__name__,
    **{
      name: to_json(value) if attr.has(type(value)) else value
      for name, value in fields.items()
    },
  }


def check(event: dp_accounting.DpEvent) -> None:
  """Checks that a ledger can record an event.

  Raises:
    UserError: If the event, or an event in it, has an unknown type.
  """
  inner = getattr(event, 'event', None)
  errors.require(
    type(event) in _EVENTS.values(),
    f'A privacy event of type {type(event).__name__} cannot be recorded or'
    f' accounted for. The known types are {sorted(_EVENTS)}.',
  )
  if inner is not None:
    check(inner)


def innermost(event: dp_accounting.DpEvent) -> dp_accounting.DpEvent:
  """Returns the event inside of all samplings."""
  while hasattr(event, 'event'):
    event = event.event
  return event


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
  """Returns values as JSON has them: NumPy's numbers become Python's."""
  return {
    name: value.item()
    if isinstance(value, np.generic)
    else plain(value)
    if isinstance(value, dict)
    else value
    for name, value in values.items()
  }


def in_words(event: dp_accounting.DpEvent) -> str:
  """Describes an event in words."""
  if isinstance(event, dp_accounting.GaussianDpEvent):
    return f'Gaussian noise, multiplier {event.noise_multiplier:.6g}'
  if isinstance(event, dp_accounting.PoissonSampledDpEvent):
    who = f'each client with probability {event.sampling_probability:.6g}'
    return f'{who}: {in_words(event.event)}'
  if isinstance(event, dp_accounting.SampledWithoutReplacementDpEvent):
    who = f'{event.sample_size:,} of {event.source_dataset_size:,} clients'
    return f'{who}: {in_words(event.event)}'
  return 'a release without noise'


def from_json(record: Mapping[str, Any]) -> dp_accounting.DpEvent:
  """Returns the event of a record from `to_json`.

  Raises:
    KeyError: If no plan has events of this type.
    TypeError: If the event has other fields.
  """
  fields = {
    name: from_json(value) if isinstance(value, dict) else value
    for name, value in record.items()
    if name != 'type'
  }
  return _EVENTS[record['type']](**fields)
