"""kill -9 between any two writes leaves a ledger that counts all releases."""

import json
import os
import pathlib
import subprocess
import sys


def test_the_ledger_counts_every_release_wherever_a_run_is_killed(tmp_path):
  done = subprocess.run(
    [
      sys.executable,
      str(pathlib.Path(__file__).with_name('killed_run.py')),
      str(tmp_path),
    ],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  points = [json.loads(line) for line in done.stdout.splitlines()]
  assert [p.get('point') for p in points] == list(range(1, len(points) + 1))
  *killed, last = points
  assert len(killed) > 30
  assert {p['code'] for p in killed} == {-9} and last['code'] == 0
  for point in points:
    assert point['code_after'] == 0, point
    assert point['rows'] == [[0, ''], [1, '1.0'], [2, '2.0']], point
    for released, counted in point['at_death'], point['at_end']:
      assert counted >= released, point
    # A round is repeated, and counted twice, at most once.
    assert 2 <= point['at_end'][1] <= 3, point
  # The kills fall between record and release as well.
  assert any(p['at_death'][1] > p['at_death'][0] for p in killed)
  assert last['at_end'] == [2, 2]
