"""Compared processes do the same work, take turns, and end."""

import ast
import collections
import contextlib
import dataclasses
import itertools
import pathlib
import re
import sys

from hypothesis import given, settings, strategies
import numpy as np
import pytest

from tff_asr import errors
from tff_asr.audio import features
from tff_asr.benchmarks import (
  comparison,
  corpora,
  inputs,
  rounds,
  small_clients,
  small_subject,
  subject,
)
from tff_asr.executors import context

WORK = small_subject.Work(
  clients=3,
  utterances=4,
  width=8,
  blocks=1,
  mlp_width=8,
  heads=2,
  frames=30,
  tokens=3,
)

# Answers with the number of the answer, as the measured programs answer.
_ANSWERS = """
import itertools, json, sys
for number, line in enumerate(itertools.chain([''], sys.stdin)):
  print('note', flush=True)
  print(json.dumps({'seconds': number + 1.0}), flush=True)
"""


def program(code: str) -> comparison.Program:
  return comparison.Program((sys.executable, '-I', '-S', '-c', code), {})


def test_a_small_work_is_measured_in_every_way(monkeypatch, tmp_path):
  monkeypatch.setattr(comparison, 'TURNS', 1)
  monkeypatch.setattr(small_clients, '_ROUNDS', 1)
  targets = list(small_clients._WORKS.values())[-1]
  monkeypatch.setattr(small_clients, '_WORKS', {WORK: targets})
  first, *rows = small_clients.small(inputs.Inputs(tmp_path, 'tiny'))
  assert '3 clients x 4 utterances of 0.3 s, width 8, 1 blocks' in first.figure
  assert [(row.figure, row.target) for row in rows] == [
    ('the same: a round / the plain loop', '<= 1.15'),
    ("the same: TFF's runtime / a round", '>= 3'),
  ]
  for row in rows:
    assert re.fullmatch(r'\d+\.\d\d \(\d+\.\d\d s, \d+\.\d\d s\)', row.seen)


def test_rounds_and_the_plain_loop_train_on_the_same_batches():
  computation = small_subject._dataset_computation(WORK)
  expected = small_subject._all_batches(WORK)
  with contextlib.closing(context.set_local_device_context(['/CPU:0'])):
    for number, batches in enumerate(expected):
      found = list(computation(str(number)))
      assert len(found) == len(batches) == 2
      for one, other in zip(found, batches, strict=True):
        for name, value in other.items():
          np.testing.assert_array_equal(one[name], value, name)


def test_the_peer_imports_nothing_of_this_project():
  found = set()
  for node in ast.walk(ast.parse(small_clients._PEER.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name.split('.')[0] for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      found.add(node.module.split('.')[0])
  assert found - sys.stdlib_module_names == {'numpy', 'pfl', 'torch'}


def test_the_peer_gets_every_setting_that_it_reads():
  source = small_clients._PEER.read_text()
  read = set(re.findall(r'\bwork\.(\w+)', source))
  assert read == {field.name for field in dataclasses.fields(WORK)}


def test_a_peer_without_its_part_is_refused():
  with pytest.raises(errors.UserError, match='`peer_python=x` has no effect'):
    rounds.run(None, 'tiny', ['paper'], pathlib.Path('x'))


@given(
  names=strategies.lists(
    strategies.text('abc', min_size=1), min_size=1, max_size=3, unique=True
  ),
  turns=strategies.integers(1, 3),
  count=strategies.integers(1, 3),
)
@settings(max_examples=5, deadline=None)
def test_the_first_turn_of_each_subject_is_left_out(names, turns, count):
  with comparison.subjects({n: program(_ANSWERS) for n in names}) as running:
    assert [s.first['seconds'] for s in running.values()] == [1.0] * len(names)
    found = comparison.seconds_in_turn(running, turns, count)
  answers = np.arange(2.0, 2.0 + (turns + 1) * count).reshape([-1, count])
  assert found == dict.fromkeys(names, answers[1:].mean(1).tolist())


@pytest.mark.parametrize('code', ['raise SystemExit(3)', f'{_ANSWERS}  break'])
def test_a_subject_that_ends_is_an_error_and_all_end(code):
  programs = {'a': program(_ANSWERS), 'b': program(_ANSWERS)}
  running = []

  def measure():
    with comparison.subjects(programs) as started:
      running.extend(s._process for s in started.values())
      with comparison.subject(program(code)) as ending:
        ending.run()

  with pytest.raises(errors.UserError, match=r'ended with code [03]; see'):
    measure()
  assert len(running) == 2
  assert all(process.poll() is not None for process in running)


@given(
  clients=strategies.integers(1, 9),
  size=strategies.integers(1, 12),
  rotates=strategies.booleans(),
)
def test_rotating_cohorts_give_every_client_the_same_turns(
  clients, size, rotates
):
  names = [str(i) for i in range(clients)]
  config = subject.SubjectConfig(
    'device', '', cohort_size=size, rotates=rotates
  )
  cohorts = list(itertools.islice(subject._cohorts(config, names), clients))
  assert {len(cohort) for cohort in cohorts} == {size}
  if rotates:
    counts = collections.Counter(itertools.chain(*cohorts))
    assert counts == dict.fromkeys(names, size)
  else:
    assert all(cohort == cohorts[0] for cohort in cohorts)


@given(clients=strategies.integers(1, 20), utterances=strategies.integers(1, 3))
def test_longer_commands_take_longer(clients, utterances):
  items = list(corpora.Commands(clients, utterances).items())
  counts = collections.Counter(item.client_id for item in items)
  assert list(counts.values()) == [utterances] * clients
  assert len({item.utterance_id for item in items}) == len(items)
  lengths = {}
  for item in items:
    lengths.setdefault(len(item.text), set()).add(len(item.audio))
  assert all(len(samples) == 1 for samples in lengths.values())
  by_text = [samples.pop() for _, samples in sorted(lengths.items())]
  assert by_text == sorted(by_text)
  assert by_text[0] > features.SAMPLE_RATE / 2
