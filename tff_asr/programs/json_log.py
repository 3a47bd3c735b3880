"""A run as lines of JSON, for a program that watches it."""

from collections.abc import Mapping
import json
import math
from typing import Any, TextIO

from tff_asr import compat


class JsonLog(compat.ReleaseManager):
  """Writes one object a line: what happened under `event`, and its figures.

  Figures are those that `metrics.csv` has; what is not finite is null.
  """

  def __init__(self, stream: TextIO):
    """Takes where the lines go."""
    self._stream = stream

  async def release(self, value: Mapping[str, Any], key: int) -> None:
    """Writes the metrics of a round.

    Args:
      value: By name.
      key: The round.
    """
    self.write('round', round=key, **value)

  def write(self, event: str, **figures: Any) -> None:
    """Writes a line."""
    print(
      json.dumps({'event': event, **_finite(figures)}, allow_nan=False),
      file=self._stream,
      flush=True,
    )


def _finite(value: Any) -> Any:
  if isinstance(value, Mapping):
    return {name: _finite(v) for name, v in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(v) for v in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
