"""Computes, reads and writes the clipping bounds of layers.

The bounds C_1 .. C_H of the layer groups (Pelikan et al., 2025, definition 3)
have the total bound C = sqrt(C_1^2 + ... + C_H^2).  A client whose layers are
clipped to these bounds contributes at most C, for every update.
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

# No useful bound is outside of these limits.  Within them, sums of squares,
# noise and means stay far from values where float32 overflows or is flushed to
# zero.
LEAST, GREATEST = 1e-10, 1e10


def uniform(clip_norm: float, sizes: Sequence[int]) -> list[float]:
  """Returns the same bound for every layer, C / sqrt(H).

  Args:
    clip_norm: Total bound C.
    sizes: Number of coordinates of each layer.
  """
  return [clip_norm / math.sqrt(len(sizes))] * len(sizes)


def dim(clip_norm: float, sizes: Sequence[int]) -> list[float]:
  """Returns bounds by layer size, C * sqrt(d_h / (d_1 + ... + d_H)).

  Args:
    clip_norm: Total bound C.
    sizes: Number of coordinates d_h of each layer.
  """
  return [clip_norm * math.sqrt(size / sum(sizes)) for size in sizes]


BY_RULE: dict[str, Callable[[float, Sequence[int]], list[float]]] = {
  UNIFORM: uniform,
  DIM: dim,
  ADAPTIVE: uniform,  # The initial bounds.
}


def total(bounds: Sequence[float]) -> float:
  """Returns the total bound C = sqrt(C_1^2 + ... + C_H^2)."""
  return math.sqrt(math.fsum(b * b for b in bounds))


def read(path: pathlib.Path) -> dict[str, float]:
  """Reads a file of layer bounds.

  Args:
    path: Text file.  Each line has the name of a layer, a tab and its bound.

  Returns:
    Bounds by the name of the layer.

  Raises:
    UserError: If the file cannot be read or a line has another form; names the
      line.
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
  """Writes a file of layer bounds for `read`."""
  checksums.write(
    path,
    ''.join(f'{name}\t{bound!r}\n' for name, bound in layer_bounds.items()),
  )
