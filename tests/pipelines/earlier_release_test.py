"""A store and a run of an earlier release, in the hands of this one.

How they were made: earlier_release.md.
"""

import csv
import json
import pathlib
import re
import tarfile

import h5py
import numpy as np
import pytest
import soundfile

from tests.pipelines.calls import call

ARCHIVE = pathlib.Path(__file__).with_name('earlier_release.tar.xz')
BEGUN_IN = '/earlier/'  # Where the archive says that the run was begun.
ROUNDS = 2
# As the release that made the archive gave them.
EPSILON_AFTER_ROUND_4 = 5.628370925317156
CHARACTERS = 105  # Of the held-out speaker's references.


@pytest.fixture
def earlier(tmp_path):
  """A folder with the stores `train` and `eval`, and the run `run` in it."""
  with tarfile.open(ARCHIVE) as archive:
    archive.extractall(tmp_path, filter='data')
  run = tmp_path / 'run'
  flags = (run / 'flags.txt').read_text()
  assert BEGUN_IN in flags
  (run / 'flags.txt').write_text(flags.replace(BEGUN_IN, f'{tmp_path}/'))
  # What one has changed oneself has no check sum.
  sums = (run / 'checksums.txt').read_text().splitlines(keepends=True)
  kept = [line for line in sums if not line.endswith('  flags.txt\n')]
  assert len(kept) == len(sums) - 1
  (run / 'checksums.txt').write_text(''.join(kept))
  return tmp_path


def succeeds(*arguments, cwd):
  code, out, err = call(*arguments, cwd=cwd)
  assert code == 0, err
  return out


def summary(run):
  return json.loads((run / 'summary.json').read_text())


def ledger(run):
  return (run / 'ledger.jsonl').read_text().splitlines()


def rounds(lines):
  return [json.loads(line).get('round') for line in lines[1:]]


def weights(folder):
  """All weights of the model in a folder, by name."""
  found = {}
  with h5py.File(folder / 'model.weights.h5') as file:
    file.visititems(
      lambda name, item: (
        found.update({name: np.asarray(item)})
        if isinstance(item, h5py.Dataset)
        else None
      )
    )
  assert found
  return found


def test_the_archive_names_no_machine():
  with tarfile.open(ARCHIVE) as archive:
    for member in archive:
      assert (member.uid, member.uname, member.gname) == (0, '', ''), member
      if member.isfile() and pathlib.Path(member.name).suffix in {
        *('.txt', '.json', '.jsonl', '.md', '.tsv', '.csv', '.html'),
      }:
        text = archive.extractfile(member).read().decode()
        places = set(re.findall(r'(?:--\w+=|["\s])(/[\w.]+/)', text))
        assert places <= {BEGUN_IN}, member


def test_a_run_resumes_to_a_later_round(earlier):
  run = earlier / 'run'
  lines, before = ledger(run), weights(run / 'model')
  seed_model = weights(run / 'seed_model')
  assert rounds(lines) == [1, 2]
  out = succeeds('train', '--flagfile=run/flags.txt', '--rounds=4', cwd=earlier)
  found = [int(n) for n in re.findall(r'^round +(\d+)', out, re.MULTILINE)]
  assert found and min(found) > ROUNDS
  assert ledger(run)[: len(lines)] == lines
  assert rounds(ledger(run)) == [1, 2, 3, 4]
  with open(run / 'metrics.csv', newline='') as file:
    assert [row['round'] for row in csv.DictReader(file)] == list('01234')
  figures = summary(run)
  assert figures['rounds'] == 4
  assert figures['epsilon'] == pytest.approx(EPSILON_AFTER_ROUND_4, rel=1e-6)
  after = weights(run / 'model')
  assert after.keys() == before.keys()
  assert all(np.isfinite(value).all() for value in after.values())
  assert any((after[name] != before[name]).any() for name in after)
  for name, value in weights(run / 'seed_model').items():
    np.testing.assert_array_equal(value, seed_model[name])


def test_a_model_has_the_error_rates_it_had(earlier):
  before = summary(earlier / 'run')
  out = succeeds(
    'evaluate', '--model_dir=run', '--eval_store=eval', cwd=earlier
  )
  total = re.search(
    r'^all +(\d+) +\d+ +([\d.]+)% +([\d.]+)%', out, re.MULTILINE
  )
  utterances, *rates = map(float, total.groups())
  assert utterances == before['eval_utterances']
  # One character may differ with the processor.
  expected = [100 * before['wer'], 100 * before['cer']]
  assert rates == pytest.approx(expected, abs=0.1 + 100 / CHARACTERS)


def test_a_run_is_trained_from_and_its_epsilon_counts(earlier):
  """On the earlier store, from the earlier private model."""
  arguments = (
    *('train', '--train_store=train', '--eval_store=eval', '--seed_model=run'),
    *('--output_dir=next', '--rounds=1', '--cohort_size=2', '--client_steps=1'),
    *('--noise_multiplier=1', '--delta=1e-3'),
  )
  code, _, err = call(*arguments, cwd=earlier)
  assert code == 1 and '--prior_ledger' in err
  assert not (earlier / 'next').exists()
  succeeds(*arguments, '--prior_ledger=run', cwd=earlier)
  assert rounds(ledger(earlier / 'next'))[-1] == 1
  found = summary(earlier / 'next')
  assert found['epsilon'] > summary(earlier / 'run')['epsilon']
  assert found['provenance']['population'] == 3  # Without the seed speaker.
  before = weights(earlier / 'run' / 'model')
  after = weights(earlier / 'next' / 'model')
  assert any((after[name] != before[name]).any() for name in before)
  assert all(np.isfinite(value).all() for value in after.values())


def test_a_run_is_reported(earlier):
  page = earlier / 'run' / 'report.html'
  page.unlink()
  epsilon = summary(earlier / 'run')['epsilon']
  succeeds('report', 'run', cwd=earlier)
  assert f'{epsilon:.4g}' in page.read_text()


def test_a_model_is_exported_and_transcribes(earlier):
  out = succeeds('export', '--run_dir=run', '--export_dir=served', cwd=earlier)
  assert 'Version 1 of asr' in out
  noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
  soundfile.write(earlier / 'noise.flac', noise, 16_000)
  out = succeeds(
    'transcribe', '--export_dir=served', 'noise.flac', '--json', cwd=earlier
  )
  found = json.loads(out)
  assert found['file'] == str(earlier / 'noise.flac') and not found['error']
