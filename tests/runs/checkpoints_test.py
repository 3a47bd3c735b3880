"""A checkpoint is whole, or the one before is used."""

import asyncio
import gc
import os
import resource
import warnings

import numpy as np
import pytest
import tensorflow_federated as tff

from tff_asr import errors
from tff_asr.programs import program_logic
from tff_asr.runs import checkpoints


def state_of(number, width=50):
  weights = tff.learning.models.ModelWeights(
    [np.full([width, 3], number, np.float32), np.float32(number)], []
  )
  learning = tff.learning.templates.LearningAlgorithmState(
    weights, (), {'b': np.int64(number), 'a': ()}, (np.arange(number),), ()
  )
  return program_logic.ProgramState(
    learning, number, f'{number:x}', f'{{"loss": {number}.5}}'
  )


@pytest.fixture
def folder(tmp_path):
  """Has the checkpoints of rounds 3 and 4."""
  manager = checkpoints.Checkpoints(tmp_path, keep_last=2)
  for number in 2, 3, 4:
    asyncio.run(manager.save(state_of(number), number))
  return tmp_path


def loaded(folder, number=4):
  return asyncio.run(
    checkpoints.Checkpoints(folder, 2).load_latest(state_of(number))
  )


def assert_is(state, number, width=50):
  expected = state_of(number, width)
  assert type(state.learning) is type(expected.learning)
  for leaf, other in zip(
    state.learning.global_model_weights.trainable,
    expected.learning.global_model_weights.trainable,
    strict=True,
  ):
    assert leaf.dtype == other.dtype
    np.testing.assert_array_equal(leaf, other)
  assert int(state.round_number) == number
  assert (str(state.entry), str(state.metrics)) == expected[2:]


def test_the_last_ones_are_kept_and_come_back(folder):
  assert sorted(os.listdir(folder)) == ['round_000003.npz', 'round_000004.npz']
  state, number = loaded(folder)
  assert number == 4
  assert_is(state, 4)


def test_without_checkpoints_there_is_no_state(tmp_path):
  assert loaded(tmp_path) == (None, 0)


def cut(data):
  return data[: len(data) // 2]


def empty(data):
  del data
  return b''


def lost_at_the_end(data):
  return data[:-100] + bytes(100)


def one_bit(data):
  at = data.index(np.full(9, 4, np.float32).tobytes())
  return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize('damage', [cut, empty, lost_at_the_end, one_bit])
def test_the_one_before_a_damaged_one_is_used(folder, damage, caplog):
  newest = folder / 'round_000004.npz'
  newest.write_bytes(damage(newest.read_bytes()))
  state, number = loaded(folder, 3)
  assert number == 3
  assert_is(state, 3)
  assert f'{newest} is damaged' in caplog.text
  # Its round can be saved again, and nothing is lost that might be looked at.
  manager = checkpoints.Checkpoints(folder, 2)
  asyncio.run(manager.save(state_of(4), 4))
  assert sorted(os.listdir(folder)) == [
    'round_000003.npz',
    'round_000004.damaged',
    'round_000004.npz',
  ]


def is_damaged(folder, contents):
  """Whether the newest is said to be damaged; else it is as it was."""
  path = folder / 'round_000004.npz'
  path.write_bytes(contents)
  manager = checkpoints.Checkpoints(folder, 2)
  try:
    assert_is(asyncio.run(manager.load(4, state_of(4, 3))), 4, 3)
  except checkpoints.DamagedError as error:
    assert str(path) in str(error) and '\n' not in str(error)
    return True
  return False


@pytest.fixture
def small(tmp_path):
  """The file of a checkpoint of a few numbers, in a folder."""
  manager = checkpoints.Checkpoints(tmp_path, 2)
  asyncio.run(manager.save(state_of(4, width=3), 4))
  return tmp_path, (tmp_path / 'round_000004.npz').read_bytes()


def test_any_byte_of_the_directory_may_be_damaged(small):
  """Sizes, names, methods, flags, lengths of comments."""
  folder, contents = small
  found = []
  for at in range(contents.index(b'PK\1\2'), len(contents)):
    for mask in 1, 6, 8, 32, 255:
      changed = bytes([contents[at] ^ mask])
      found.append(
        is_damaged(folder, contents[:at] + changed + contents[at + 1 :])
      )
  assert 0.5 < np.mean(found) < 1.0  # Times and the like change nothing.


def test_any_byte_of_the_arrays_may_be_damaged(small):
  """The type, too: of half the size, it would leave half of the array."""
  folder, contents = small
  for at in range(contents.index(b'PK\1\2')):
    changed = bytes([contents[at] ^ 6])  # Of a 4 this makes a 2.
    is_damaged(folder, contents[:at] + changed + contents[at + 1 :])


def test_a_run_does_not_begin_anew_if_all_are_damaged(folder):
  for path in folder.iterdir():
    path.write_bytes(cut(path.read_bytes()))
  with pytest.raises(errors.UserError, match=r'All checkpoints .* are damaged'):
    loaded(folder)
  with pytest.raises(errors.UserError, match=r'All checkpoints .* are damaged'):
    loaded(folder)


def test_what_a_killed_process_was_writing_goes(folder):
  (folder / 'round_000005.npz.partial').write_bytes(b'half')
  assert loaded(folder)[1] == 4
  assert len(os.listdir(folder)) == 2


def test_a_checkpoint_of_another_model_is_refused(folder):
  with pytest.raises(errors.UserError, match='of another model'):
    asyncio.run(
      checkpoints.Checkpoints(folder, 2).load_latest(state_of(4, width=51))
    )


@pytest.mark.parametrize('bytes_left', [0, 100, 1500])
def test_a_disk_that_is_full_leaves_the_others_intact(folder, bytes_left):
  """A limit on the size of files stands for the disk."""
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  gc.collect()  # Files that other tests left open.
  with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter('always')
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, limits[1]))
    try:
      with pytest.raises(errors.UserError, match=r'round 5 .* File too large'):
        asyncio.run(checkpoints.Checkpoints(folder, 2).save(state_of(5), 5))
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    gc.collect()
  assert not warned
  assert len(os.listdir(folder)) == 2
  assert_is(loaded(folder)[0], 4)


def test_a_state_of_objects_is_refused(folder):
  state = state_of(5)._replace(learning={'a': [object()]})
  with pytest.raises(TypeError, match=r'learning\.a\.0'):
    asyncio.run(checkpoints.Checkpoints(folder, 2).save(state, 5))
