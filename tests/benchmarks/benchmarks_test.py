"""Benchmarks give a figure for everything; which, is not for a test to say."""

import re

import pytest

from tff_asr.audio import decoding
from tff_asr.benchmarks import (
  comparison,
  corpora,
  data,
  hostile,
  hostile_requests,
  long_runs,
  many_clients,
  model,
  rounds,
  serving,
)
from tff_asr.models import precision


def test_data(monkeypatch):
  monkeypatch.setattr(corpora, 'SPEAKERS', 2)
  monkeypatch.setattr(data, '_REPETITIONS', 1)
  lines = data.run(None, clients=5).splitlines()[1:]
  assert len(lines) == 13
  for line in lines:
    assert re.search(r'\d[\d,.]* (x real time|kB/s|ms)$', line), line


def test_model():
  speed, losses = model.run('tiny', batch_seconds=4.0).split('\n\n')
  _, _, *lines = speed.splitlines()
  assert [line.split()[0] for line in lines] == list(precision.NAMES)
  assert re.search(r'\d+\.\d s +\d+\.\d+ s +[1-9][\d.]*$', lines[0])
  title, *lines = losses.splitlines()
  assert title.startswith('CTC loss')
  assert len(lines) == 3
  for line in lines:
    assert re.search(r'( +\d+\.\d\d ms){2}$', line), line


def test_rounds(monkeypatch):
  monkeypatch.setattr(corpora, 'SPEAKERS', 4)
  monkeypatch.setattr(comparison, 'TURNS', 1)
  monkeypatch.setattr(long_runs, '_LONG_ROUNDS', 6)
  monkeypatch.setattr(many_clients, '_CLIENTS', 8)
  monkeypatch.setattr(many_clients, '_COHORT', 3)
  monkeypatch.setattr(many_clients, '_ROUNDS', 1)
  table = rounds.run(None, 'tiny', ['devices', 'long', 'store'])
  for row in (
    r'one device / two, .* \| \d+\.\d\d \|',
    r'after round 6 / after round 1 \| \d+\.\d{3} \(\d+\.\d\d GB, .* <= 1\.05',
    r'rounds between \| \d+\.\d{3} \|',
    r'8 clients with 2 .* cohort 3, .* clients per second \| \d+\.\d \(',
  ):
    assert re.search(row, table), table


def test_serving(monkeypatch):
  monkeypatch.setattr(corpora, 'SPEAKERS', 2)
  monkeypatch.setattr(serving, '_TURNS', 1)
  table = serving.run(None, None, 'tiny')
  for name in "the model's own forward pass", 'logits', 'wav', 'beam':
    assert re.search(rf'\| {name} \| \d+\.\d+ \| \d+\.\d+ \|', table), table
  assert re.search(r'forward pass \(target: <= 1\.05\) \| [\d.]+ \|', table)
  for name in 'SavedModel', 'float16.tflite', 'int8.tflite':
    assert re.search(rf'\| {name} \| \d+\.\d\d \| \d+\.\d+ \|', table), table


def test_hostile(monkeypatch):
  monkeypatch.setattr(hostile, '_TURNS', 1)
  names = ['100 headers at 191,999 Hz', 'lengths below 0, beam']
  requests = hostile_requests.hostile()
  few = {name: requests[name] for name in names}
  monkeypatch.setattr(hostile_requests, 'hostile', lambda: few)
  table = hostile.run(None, 'tiny')
  figure = r' [\d.,]+ \|'
  for name in names:
    assert re.search(rf'\| {name} \|{7 * figure}', table), table


@pytest.mark.parametrize('signature', ['wav', 'serving_default', 'beam'])
def test_a_normal_request_is_of_the_same_size_and_whole(signature):
  for request in hostile_requests.hostile().values():
    if request.size > 200_000 or request.signature != signature:
      continue
    normal = hostile_requests.normal(request)
    assert 0.98 * request.size - 100 < normal.size < 1.02 * request.size + 500
    for contents in normal.inputs.get('wav', []):
      assert len(decoding.decode(contents))
