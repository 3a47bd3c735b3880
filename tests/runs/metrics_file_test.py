"""The file has every round once, whatever was cut off or damaged."""

import asyncio
import csv
import errno
import math
import os
import resource
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from tff_asr import errors
from tff_asr.runs import metrics_file

ROUNDS = 7


def figures(number):
  """Figures of a round; those of an evaluation in some rounds only."""
  found = {'norm/a': 0.1 * number, 'epsilon': math.nan if number < 2 else 1.5}
  if number % 3 == 0:
    found |= {'wer': 1 / (number + 1), 'cer': 0.1}
  if number >= 4:
    found['late, and quoted'] = float(number)
  return found


def write(path, rounds=ROUNDS, begin=0, **kwargs):
  file = metrics_file.MetricsFile(path, **kwargs)
  for number in range(begin, rounds):
    asyncio.run(file.release(figures(number), number))
  return path.read_bytes()


def same(rows, expected):
  return str(rows) == str(expected)  # NaN is not itself.


def expected(rounds=ROUNDS):
  rows = [{'round': float(n), **figures(n)} for n in range(rounds)]
  names = list(dict.fromkeys(name for row in rows for name in row))
  return [{n: row[n] for n in names if n in row} for row in rows]


def test_columns_that_appear_later_are_absent_before(tmp_path):
  path = tmp_path / 'metrics.csv'
  write(path)
  assert same(metrics_file.read(path), expected())
  with open(path, newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['round'] for row in rows] == [str(n) for n in range(ROUNDS)]
  assert rows[1]['wer'] == '' and float(rows[3]['wer']) == 0.25


def test_a_row_is_appended_without_reading_the_others(tmp_path, monkeypatch):
  path = tmp_path / 'metrics.csv'
  file = metrics_file.MetricsFile(path)
  for number in range(2, 5):
    asyncio.run(file.release({'x': 1.0}, number))
  before = path.read_bytes()
  synced = []
  fsync = os.fsync
  monkeypatch.setattr(os, 'fsync', lambda d: (synced.append(d), fsync(d)))
  monkeypatch.setattr(metrics_file, '_read', None)
  asyncio.run(file.release({'x': 2.0}, 5))
  assert len(synced) == 1
  assert path.read_bytes().startswith(before)


def test_rounds_that_are_repeated_take_the_place_of_the_first(tmp_path):
  path = tmp_path / 'metrics.csv'
  write(path)
  assert same(metrics_file.read(path), expected())
  file = metrics_file.MetricsFile(path)
  asyncio.run(file.release(figures(4), 4))
  assert same(
    [r['round'] for r in metrics_file.read(path)], [0.0, 1.0, 2.0, 3.0, 4.0]
  )


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  return write(tmp_path_factory.mktemp('whole') / 'metrics.csv')


def damaged(data, kind, start, length):
  start = start % len(data)
  end = min(len(data), start + length)
  if kind == 'end':
    return data[:start]
  if kind == 'cut':
    return data[:start] + data[end:]
  if kind == 'flip':
    return (
      data[:start] + bytes([data[start] ^ 1 << length % 8]) + data[start + 1 :]
    )
  filler = {'nul': b'\0', 'bytes': b'\xff', 'digits': b'7', 'lines': b'\n'}
  return data[:start] + filler[kind] * (end - start) + data[end:]


KINDS = ['end', 'cut', 'flip', 'nul', 'bytes', 'digits', 'lines']


@given(
  kind=st.sampled_from(KINDS),
  start=st.integers(0, 10_000),
  length=st.integers(1, 120),
  saved=st.sampled_from([range(ROUNDS), range(ROUNDS - 2, ROUNDS)]),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_damage_changes_a_round(
  whole, tmp_path_factory, kind, start, length, saved
):
  """Each round is as it was, or one line says that it is not."""
  path = tmp_path_factory.mktemp('damaged') / 'metrics.csv'
  path.write_bytes(damaged(whole, kind, start, length))
  last = ROUNDS - 1
  try:
    file = metrics_file.MetricsFile(
      path, lambda: {n: figures(n) for n in saved}
    )
    if file.last_round < last:  # As the program does, from its checkpoint.
      asyncio.run(file.release(figures(last), last))
  except errors.UserError as error:
    assert str(path) in str(error) and '\n' not in str(error)
    assert len(saved) < ROUNDS
    return
  found = {
    n: {**row, 'round': n} for n, row in metrics_file.readable(path).items()
  }
  assert sorted(found) == list(range(ROUNDS))
  for number in range(ROUNDS):
    wanted = {**figures(number), 'round': number}
    assert same(sorted(found[number].items()), sorted(wanted.items()))
  assert len(metrics_file.read(path)) == ROUNDS


@given(
  kind=st.sampled_from(KINDS),
  start=st.integers(0, 10_000),
  length=st.integers(1, 120),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_what_is_read_is_what_was_written(
  whole, tmp_path_factory, kind, start, length
):
  path = tmp_path_factory.mktemp('damaged') / 'metrics.csv'
  path.write_bytes(damaged(whole, kind, start, length))
  try:
    rows = metrics_file.read(path)
  except errors.UserError as error:
    assert str(path) in str(error) and '\n' not in str(error)
    return
  keyed = [sorted(row.items()) for row in rows]
  wanted = [sorted(row.items()) for row in expected()]
  assert same(keyed, wanted[: len(keyed)])


def test_a_file_of_an_earlier_release_goes_on(tmp_path):
  path = tmp_path / 'metrics.csv'
  path.write_bytes(b'round,wer,norm/a\r\n0,0.5,\r\n1,,0.25\r\n2,0.4,0.')
  file = metrics_file.MetricsFile(path)
  assert file.last_round == 1
  asyncio.run(file.release({'wer': 0.4, 'norm/a': 0.5}, 2))
  assert [row.get('wer') for row in metrics_file.read(path)] == [0.5, None, 0.4]


def test_a_file_that_was_removed_begins_anew_and_says_so(tmp_path):
  path = tmp_path / 'metrics.csv'
  file = metrics_file.MetricsFile(path)
  asyncio.run(file.release(figures(5), 5))
  rows = metrics_file.read(path)
  assert [len(row) for row in rows[:5]] == [1] * 5
  assert rows[5]['late, and quoted'] == 5.0


_FULL = """
import asyncio, resource, sys, pathlib
from tff_asr.runs import metrics_file
path = pathlib.Path(sys.argv[1])
file = metrics_file.MetricsFile(path)
number = file.last_round + 1
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, -1))
try:
  asyncio.run(file.release({'norm/a': 1.0, 'epsilon': 2.0}, number))
except OSError as error:
  print(error.errno, error.filename)
"""


def test_a_full_disk_costs_no_round(tmp_path, whole):
  path = tmp_path / 'metrics.csv'
  path.write_bytes(whole)
  done = subprocess.run(
    [sys.executable, '-c', _FULL, path],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  assert done.stdout.split() == [str(errno.EFBIG), str(path)]
  assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] < 0
  file = metrics_file.MetricsFile(path)
  assert file.last_round == ROUNDS - 1
  assert path.read_bytes() == whole
