import pytest

from tff_asr import errors
from tff_asr.privacy.mechanism import grouping

LAYERS = {'in/kernel': 6, 'block_0/qkv': 12, 'block_0/norm/scale': 4, 'out': 2}


@pytest.mark.parametrize(
  ('by', 'names', 'sizes', 'members'),
  [
    ('tensor', tuple(LAYERS), (6, 12, 4, 2), (0, 1, 2, 3)),
    ('block', ('in', 'block_0', 'out'), (6, 16, 2), (0, 1, 1, 2)),
    ('model', ('model',), (24,), (0, 0, 0, 0)),
  ],
)
def test_tensors_are_grouped(by, names, sizes, members):
  found = grouping.group(LAYERS, by)
  assert (found.names, found.sizes, found.members) == (names, sizes, members)
  assert [found.tensors_of(g) for g in range(len(names))] == [
    [i for i, m in enumerate(members) if m == g] for g in range(len(names))
  ]


def test_tensors_of_a_block_need_not_be_neighbours():
  found = grouping.group({'a/x': 1, 'b/x': 2, 'a/y': 3}, 'block')
  assert (found.sizes, found.members) == ((4, 2), (0, 1, 0))


@pytest.mark.parametrize(
  ('layers', 'by'), [(LAYERS, 'row'), ({}, 'tensor'), ({'a': 0}, 'tensor')]
)
def test_what_cannot_be_grouped_is_refused(layers, by):
  with pytest.raises(errors.UserError):
    grouping.group(layers, by)


def test_blocks_of_tensors_without_names_are_refused():
  """Each tensor would be a block of its own."""
  with pytest.raises(errors.UserError, match='needs the names of the layers'):
    grouping.group({'0': 3, '1': 4, '2/0': 5}, 'block')
  assert grouping.group({'0': 3, '1': 4}, 'model').sizes == (7,)
