"""Events of rounds as TensorBoard reads them."""

import asyncio
import math
import pathlib
import time

import pytest
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf

from tff_asr.programs import release_managers


def release(folder, rounds):
  """Writes what a call of a run does that has these rounds."""
  manager = release_managers.TensorBoard(folder)
  for number, released in rounds.items():
    asyncio.run(manager.release(released, number))


def read(folder):
  """Figures by round, and the times, as TensorBoard finds them."""
  events = event_accumulator.EventAccumulator(str(folder)).Reload()
  found, times = {}, {}
  for name in events.Tags()['tensors']:
    for event in events.Tensors(name):
      figures = found.setdefault(event.step, {})
      assert name not in figures, 'a round is there twice'
      figures[name] = float(tf.make_ndarray(event.tensor_proto))
      times[event.step] = event.wall_time
  return found, times


def test_every_figure_of_every_round_can_be_read(tmp_path):
  rounds = {
    0: {'wer': 0.5, 'norm/conv/kernel': 1e-9},
    1: {'norm/conv/kernel': math.nan, 'unprotected/clients': 3.0},
  }
  release(tmp_path / 'events', rounds)
  found, _ = read(tmp_path / 'events')
  assert {n: f.keys() for n, f in found.items()} == {
    n: r.keys() for n, r in rounds.items()
  }
  assert found[0]['wer'] == 0.5
  assert math.isclose(found[0]['norm/conv/kernel'], 1e-9, rel_tol=1e-6)
  assert math.isnan(found[1]['norm/conv/kernel'])
  assert found[1]['unprotected/clients'] == 3.0


def test_what_is_written_can_be_read_at_once_and_by_tensorflow(tmp_path):
  manager = release_managers.TensorBoard(tmp_path)
  asyncio.run(manager.release({'wer': 0.25}, 7))
  (path,) = tmp_path.iterdir()
  *_, event = tf.compat.v1.train.summary_iterator(str(path))
  (value,) = event.summary.value
  assert (event.step, value.tag) == (7, 'wer')
  assert value.metadata.plugin_data.plugin_name == 'scalars'
  assert tf.make_ndarray(value.tensor) == 0.25


def test_neither_time_nor_machine_is_told(tmp_path):
  """The same rounds leave the same bytes whenever and however fast."""
  rounds = {n: {'wer': 1 / (n + 1)} for n in range(3)}
  manager = release_managers.TensorBoard(tmp_path / 'slow')
  for number, released in rounds.items():
    asyncio.run(manager.release(released, number))
    time.sleep(0.05 * number)
  release(tmp_path / 'fast', rounds)
  slow, fast = (
    [(p.name, p.read_bytes()) for p in (tmp_path / name).iterdir()]
    for name in ('slow', 'fast')
  )
  assert slow == fast
  assert [name for name, _ in slow] == ['events.out.tfevents.round_000000']
  assert read(tmp_path / 'slow')[1] == {n: n for n in rounds}


@pytest.mark.parametrize('again', [0, 2, 4, 5])
def test_a_run_that_goes_on_has_every_round_once(tmp_path, again):
  """Also rounds that are released again, and after a file without its end."""
  release(tmp_path, {n: {'a': n} for n in range(3)})
  release(tmp_path, {n: {'a': n} for n in (3, 4)})
  before = {p.name: p.stat().st_ino for p in tmp_path.iterdir()}
  last = max(tmp_path.iterdir())
  last.write_bytes(last.read_bytes()[:-3])  # The end of round 4.
  release(tmp_path, {n: {'a': 10 + n} for n in range(again, 7)})
  found, _ = read(tmp_path)
  expected = {n: {'a': n} for n in range(min(again, 4))}
  expected |= {n: {'a': 10 + n} for n in range(again, 7)}
  assert found == expected
  if again == 5:  # Whoever watches goes on to the next file.
    whole = min(before)
    assert (tmp_path / whole).stat().st_ino == before[whole]


def test_files_of_tffs_manager_stay(tmp_path):
  old = tmp_path / 'events.out.tfevents.1700000000.host.1.0.v2'
  with tf.summary.create_file_writer(str(tmp_path)).as_default():
    tf.summary.scalar('a', 0.5, step=0)
  next(tmp_path.iterdir()).rename(old)
  release(tmp_path, {1: {'a': 0.25}})
  assert read(tmp_path)[0] == {0: {'a': 0.5}, 1: {'a': 0.25}}


def test_memory_does_not_grow(tmp_path):
  """TensorFlow would keep every number of Python's that it is given."""
  manager = release_managers.TensorBoard(tmp_path)

  async def rounds(first, last):
    for number in range(first, last):
      figures = {f'norm/{i}': number + i / 7 for i in range(50)}
      await manager.release(figures, number)

  asyncio.run(rounds(0, 200))
  before = _resident()
  asyncio.run(rounds(200, 2_200))
  # A tensor takes more than 100 bytes: 100,000 of them more than 10 MB.
  assert _resident() - before < 4e6


def _resident():
  pages = pathlib.Path('/proc/self/statm').read_text().split()[1]
  return int(pages) * 4096
