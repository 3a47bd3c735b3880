"""Per-layer clipping bounds (Pelikan et al., 2025, definition 3).

Bounds C_1 .. C_H of layer groups belong to a total bound
C = sqrt(C_1^2 + ... + C_H^2), so that a client whose layers are clipped to them
contributes at most C, whatever the update.
"""

from collections.abc import Callable, Mapping, Sequence
import math
import pathlib

from tff_asr import checksums, errors, text_files

UNIFORM = 'uniform'
DIM = 'dim'
ADAPTIVE = 'adaptive'
GIVEN = 'given'
NAMES = (UNIFORM, DIM, ADAPTIVE, GIVEN)

# Bounds beyond all sense: sums of squares, noise and means stay far from where
# float32 overflows or is flushed to zero.
LEAST, GREATEST = 1e-10, 1e10


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


BY_RULE: dict[str, Callable[[float, Sequence[int]], list[float]]] = {
  UNIFORM: uniform,
  DIM: dim,
  ADAPTIVE: uniform,  # Where they begin.
}


def total(bounds: Sequence[float]) -> float:
  """C = sqrt(C_1^2 + ... + C_H^2)."""
  return math.sqrt(math.fsum(b * b for b in bounds))


def read(path: pathlib.Path) -> dict[str, float]:
  """Reads bounds by the name of the layer.

  Args:
    path: Text file, on each line a name, a tab and a bound.

  Raises:
    UserError: If it cannot be read or a line is not so; says which.
  """
  if not path.is_file():
    raise errors.UserError(f'There is no file of layer bounds at {path}.')
  found: dict[str, float] = {}
  for number, line in enumerate(text_files.read(path).splitlines(), 1):
    name, tab, value = line.partition('\t')
    try:
      bound = float(value)
    except ValueError:
      bound = math.nan
    if not (name and tab and LEAST <= bound <= GREATEST) or name in found:
      raise errors.UserError(
        f'Line {number} of {path} must be the name of a layer (once), a tab and'
        f' a bound from {LEAST:g} to {GREATEST:g}, found {line!r}.'
      )
    found[name] = bound
  if not found:
    raise errors.UserError(f'{path} has no layer bounds.')
  return found


def write(path: pathlib.Path, layer_bounds: Mapping[str, float]) -> None:
  """Writes what `read` reads."""
  checksums.write(
    path,
    ''.join(f'{name}\t{bound!r}\n' for name, bound in layer_bounds.items()),
  )
