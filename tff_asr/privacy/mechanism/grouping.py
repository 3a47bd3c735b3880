"""Groups the tensors of an update that are clipped together."""

from collections.abc import Mapping
import dataclasses
import re

from tff_asr import errors

TENSOR = 'tensor'
BLOCK = 'block'
MODEL = 'model'
NAMES = (TENSOR, BLOCK, MODEL)


@dataclasses.dataclass(frozen=True)
class LayerGroups:
  """Assigns the tensors of an update to groups.

  Attributes:
    names: Names of the H groups.
    sizes: Number of coordinates d_h of every group.
    members: For each tensor of an update, in order, the index of its group.
  """

  names: tuple[str, ...]
  sizes: tuple[int, ...]
  members: tuple[int, ...]

  def tensors_of(self, group: int) -> list[int]:
    """Returns the indices of the tensors in a group."""
    return [i for i, g in enumerate(self.members) if g == group]


def group(layers: Mapping[str, int], by: str = TENSOR) -> LayerGroups:
  """Groups the tensors of an update.

  Args:
    layers: Number of coordinates of each tensor by its name, in the order of
      the update.
    by: `tensor` (each tensor is a group), `block` (a group has all tensors
      whose names agree up to the first slash, such as `block_0/qkv`) or `model`
      (one group of all tensors).

  Raises:
    UserError: If `by` has another value, the update has no tensors, a tensor
      has no coordinates, or the tensors of blocks have no names.
  """
  if by not in NAMES:
    raise errors.UserError(f'`layer_groups={by}` must be one of {NAMES}.')
  if not layers or min(layers.values()) < 1:
    raise errors.UserError(
      'An update needs at least one tensor, and each tensor needs coordinates.'
    )
  errors.require(
    by != BLOCK or any(re.search('[^0-9/]', name) for name in layers),
    '`layer_groups=block` needs the names of the layers, which the updates do'
    ' not have: give the layers with their names and sizes.',
  )
  group_of = {
    TENSOR: lambda name: name,
    BLOCK: lambda name: name.partition('/')[0],
    MODEL: lambda name: MODEL,
  }[by]
  sizes: dict[str, int] = {}
  for name, size in layers.items():
    sizes[group_of(name)] = sizes.get(group_of(name), 0) + size
  index = {name: i for i, name in enumerate(sizes)}
  return LayerGroups(
    names=tuple(sizes),
    sizes=tuple(sizes.values()),
    members=tuple(index[group_of(name)] for name in layers),
  )
