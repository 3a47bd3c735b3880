"""Benchmarks give a figure for everything; which, is not for a test to say."""

import re

from tff_asr.models import precision
from tff_asr.programs import (
  benchmark_corpora,
  benchmark_data,
  benchmark_model,
  benchmark_rounds,
  benchmark_serving,
)


def test_data(monkeypatch):
  monkeypatch.setattr(benchmark_corpora, 'SPEAKERS', 2)
  monkeypatch.setattr(benchmark_data, '_REPETITIONS', 1)
  lines = benchmark_data.run(None, clients=5).splitlines()[1:]
  assert len(lines) == 13
  for line in lines:
    assert re.search(r'\d[\d,.]* (x real time|kB/s|ms)$', line), line


def test_model():
  _, _, *lines = benchmark_model.run('tiny', batch_seconds=4.0).splitlines()
  assert [line.split()[0] for line in lines] == list(precision.NAMES)
  assert re.search(r'\d+\.\d s +\d+\.\d+ s +[1-9][\d.]*$', lines[0])


def test_rounds(monkeypatch):
  monkeypatch.setattr(benchmark_corpora, 'SPEAKERS', 4)
  monkeypatch.setattr(benchmark_rounds, '_TURNS', 1)
  monkeypatch.setattr(benchmark_rounds, '_LONG_ROUNDS', 6)
  table = benchmark_rounds.run(None, 'tiny', ['devices', 'long'])
  for row in (
    r'one device / two, .* \| \d+\.\d\d \|',
    r'after round 6 / after round 1 \| \d+\.\d{3} \(\d+\.\d\d GB, .* <= 1\.05',
    r'rounds between \| \d+\.\d{3} \|',
  ):
    assert re.search(row, table), table


def test_serving(monkeypatch):
  monkeypatch.setattr(benchmark_corpora, 'SPEAKERS', 2)
  monkeypatch.setattr(benchmark_serving, '_TURNS', 1)
  table = benchmark_serving.run(None, None, 'tiny')
  for name in "the model's own forward pass", 'logits', 'wav', 'beam':
    assert re.search(rf'\| {name} \| \d+\.\d+ \| \d+\.\d+ \|', table), table
  assert re.search(r'forward pass \(target: <= 1\.05\) \| [\d.]+ \|', table)
  for name in 'SavedModel', 'float16.tflite', 'int8.tflite':
    assert re.search(rf'\| {name} \| \d+\.\d\d \| \d+\.\d+ \|', table), table
