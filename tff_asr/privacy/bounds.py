"""Per-layer clipping bounds (Pelikan et al., 2025, definition 3).

A layer is one trainable tensor.  Bounds C_1 .. C_H belong to a total bound
C = sqrt(C_1^2 + ... + C_H^2), so that a client whose layers are clipped to them
contributes at most C, whatever the update.
"""

from collections.abc import Callable, Sequence
import math


def uniform(clip_norm: float, sizes: Sequence[int]) -> list[float]:
  """The same bound for every layer, C / sqrt(H).

  Args:
    clip_norm: Total bound C.
    sizes: Number of coordinates of each layer.
  """
  return [clip_norm / math.sqrt(len(sizes))] * len(sizes)


def dim(clip_norm: float, sizes: Sequence[int]) -> list[float]:
  """Bounds by size, C * sqrt(d_h / (d_1 + ... + d_H)).

  Args:
    clip_norm: Total bound C.
    sizes: Number of coordinates d_h of each layer.
  """
  return [clip_norm * math.sqrt(size / sum(sizes)) for size in sizes]


LAYER_BOUNDS: dict[str, Callable[[float, Sequence[int]], list[float]]] = {
  'uniform': uniform,
  'dim': dim,
}
