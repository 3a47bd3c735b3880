"""The commands as a user calls them, each in a process of its own."""

import ast
import itertools
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.pipelines.calls import call, environment, ROOT, start


@pytest.fixture(scope='module')
def workplace(tmp_path_factory):
  """Folder with a store `train` of 3 and a store `eval` of 1 speakers."""
  cwd = tmp_path_factory.mktemp('workplace')
  for name, clients, seed in ('train', 3, 0), ('eval', 1, 1):
    code, out, err = call(
      *('prepare', '--source=synthetic', f'--clients={clients}'),
      *(f'--seed={seed}', f'--output={name}'),
      cwd=cwd,
    )
    assert code == 0, err
    assert f'clients     {clients}' in out
  (cwd / 'empty').mkdir()
  (cwd / 'file').write_text('x')
  return cwd


EVALUATE = ('evaluate', '--model_dir=empty', '--eval_store=eval')
EXPORT = ('export', '--run_dir=empty', '--export_dir=e')
TRAIN = ('train', '--train_store=train', '--eval_store=eval')
SWEEP = ('sweep', *TRAIN[1:], '--output_dir=sweep', '--seed_clients=1')
SMALL = ('benchmark', '--what=rounds', '--parts=small')
RUN = ('--output_dir=run', '--seed_clients=1', '--cohort_size=1')


def contents(folder):
  """Size of every file but those of caches."""
  return {
    path: path.stat().st_size
    for path in folder.rglob('*')
    if 'cache' not in path.relative_to(folder).parts
  }


# What else is refused is tested where it is refused; a process takes seconds.
@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (('prepare', '--input_dir=nowhere', '--output=s'), 'There is no folder'),
    (('prepare', '--input_dir=empty', '--output=s'), 'No *.trans.txt'),
    (('prepare', '--source=tsv', '--output=s'), 'Give --manifest'),
    (
      ('prepare', '--input_dir=empty', '--output=s', '--clients=30'),
      '--clients is a flag of --source=synthetic, and has no effect',
    ),
    (('train', '--seed_model=empty'), 'Give --train_store with --seed_model'),
    (('prepare', '--vocabulary=spm:x', '--output=s'), 'x cannot be read'),
    (('vocabulary', '--text=nowhere', '--output=v'), 'There is no file'),
    (EVALUATE, 'no model'),
    ((*EVALUATE, '--lm=file'), 'give --beam=50 as well'),
    ((*TRAIN, *RUN, '--layer_bounds_file=file'), 'Line 1 of'),
    (('benchmark', '--what=rounds', '--input_dir=nowhere'), 'no folder'),
    ((*SMALL, '--peer_python=nowhere'), 'nowhere cannot be started (No such'),
    ((*SMALL, f'--peer_python={sys.executable}'), 'cannot import numpy, torch'),
    (('benchmark', '--what=rounds', '--parts=paper', '--peer_python=x'), 'add'),
    (('privacy', '--population=1,x'), 'must be numbers'),
    (EXPORT, 'There is no run'),
    (('transcribe', '--server=localhost:1', 'file'), '1 of 1 files'),
    (('report', 'empty', '--output=c.html', 'file'), 'no run in'),
    ((*SWEEP, '--grid=noise_multiplier=0.1,-1'), 'noise_multiplier=-1: '),
    ((*SWEEP, '--grid=noise_multiplier'), '--grid=FLAG=VALUE,VALUE'),
    ((*TRAIN, '--output_dir=file'), 'is a file, not the folder of a run'),
    ((*EXPORT, '--tflite=int4'), 'must be some of float16, int8, with commas'),
  ],
)
def test_bad_input_ends_in_one_line_and_code_1(workplace, arguments, message):
  before = contents(workplace)
  code, out, err = call(*arguments, cwd=workplace)
  assert (code, out) == (1, '')
  assert err.startswith('error: ') and message in err
  assert err.count('\n') == 1, err
  assert contents(workplace) == before


# The other signal: tests/commands/train_resume_test.py.
def test_a_run_ends_after_its_round_when_it_is_told_to(workplace):
  number, name = signal.SIGINT, 'stopped'
  process = start(
    *TRAIN,
    *(f'--output_dir={name}', '--seed_clients=0', '--model=tiny'),
    *('--cohort_size=1', '--rounds=100000', '--evaluate_every=100000'),
    cwd=workplace,
  )
  with process:
    for line in process.stdout:
      if line.startswith('round    0'):
        break
    process.send_signal(number)
    _, err = process.communicate()
  assert process.returncode == 128 + number, err
  note = (
    f'{number.name}: the program stops when the round is finished and saved'
  )
  assert note in err
  done = int(re.search(r'Stopped after round (\d+) of 100000', err)[1])
  assert (workplace / name / f'checkpoints/round_{done:06d}.npz').exists()
  assert 'Traceback' not in err


def test_an_unknown_flag_is_named(workplace):
  process = start('train', '--nonsense=1', cwd=workplace)
  _, err = process.communicate()
  assert process.returncode == 1
  assert 'nonsense' in err and 'Traceback' not in err


def test_what_is_logged_has_no_time_of_day(workplace):
  """Lines on both sides of a round would tell how long it took."""
  script = (
    'from absl import logging; from pipelines import command_line;'
    ' command_line.run(lambda: logging.warning("a %s", 1) or "done")'
  )
  found = subprocess.run(
    [sys.executable, '-c', script],
    cwd=ROOT,
    env={**environment(workplace), 'TF_CPP_MIN_LOG_LEVEL': '3'},
    capture_output=True,
    text=True,
  )
  assert (found.stdout, found.stderr) == ('done\n', 'WARNING: a 1\n')


def test_help_explains_the_flags(workplace):
  code, out, err = call('train', '--help', cwd=workplace)
  assert (code, err) == (0, '')
  for part in ('./bazelw run //pipelines:train', '--clip_norm', 'L2 norm'):
    assert part in out


def test_the_page_on_privacy_has_the_figures_that_are_printed(workplace):
  page = (ROOT / 'docs' / 'privacy.md').read_text().replace('\\\n', '')
  found = re.findall(
    r'//pipelines:privacy -- (--target_epsilon=.*?) +# \D*(\d\S*)', page
  )
  assert len(found) == 3
  for arguments, figure in found:
    code, out, err = call('privacy', *arguments.split(), cwd=workplace)
    assert code == 0, err
    assert f' {figure} meets epsilon' in out


def test_the_examples_of_help_can_be_copied():
  """All are indented; a line that continues one ends with a backslash."""
  count = 0
  for file in (ROOT / 'pipelines').glob('*.py'):
    module = ast.parse(file.read_text())
    lines = ast.get_docstring(module, clean=False).splitlines()
    for line, following in itertools.pairwise([*lines, '']):
      assert len(line) <= 80
      if re.match(r' *\./bazelw run', line) or following.lstrip().startswith(
        '--'
      ):
        count += 1
        assert line.startswith('  '), line
        assert line.endswith('\\') == following.lstrip().startswith('--'), line
  assert count > 20


@pytest.mark.parametrize('arguments', [('x', *RUN), (*RUN, 'x'), ('x', 'y')])
def test_an_argument_that_is_no_flag_is_named(workplace, arguments):
  code, out, err = call('train', *arguments, cwd=workplace)
  assert (code, out) == (1, '')
  assert err.startswith("error: Unexpected argument 'x': this command takes")


def test_the_papers_plan_is_named_where_it_is_used(workplace):
  code, out, _ = call('privacy', '--rounds=9', cwd=workplace)
  assert code == 0
  assert out.startswith(
    "From the paper's plan: --noise_multiplier=2.048 --cohort_size=204800"
    ' --population=6950600\n'
  )


def test_runs_with_bounds_of_a_file_are_repeated_and_finished(workplace):
  """The norm follows from the file before the flags are recorded."""
  (workplace / 'bounds.tsv').write_text('a\t0.3\nb\t0.4\n')
  arguments = (
    *('sweep', *TRAIN[1:], '--output_dir=bounds', '--seed_clients=1'),
    *('--rounds=0', '--seed_steps=1', '--layer_bounds=given'),
    *('--layer_bounds_file=bounds.tsv', '--grid=seed=1'),
  )
  code, out, err = call(*arguments, cwd=workplace)
  assert code == 0, err
  assert 'finished before' not in out
  code, out, err = call(*arguments, cwd=workplace)
  assert code == 0 and '(was finished before)' in out, err
  flagfile = workplace / 'bounds' / 'seed=1' / 'flags.txt'
  before = flagfile.read_text()
  assert '--clip_norm=0.5\n' in before
  for folder in (), ('--output_dir=repeated',):
    code, _, err = call(
      'train', f'--flagfile={flagfile}', *folder, cwd=workplace
    )
    assert code == 0, err
  assert flagfile.read_text() == before
  assert (workplace / 'repeated' / 'flags.txt').read_text() == before.replace(
    f'{workplace}/bounds/seed=1', f'{workplace}/repeated'
  )


def test_a_setting_in_an_error_is_the_flag_of_the_command(workplace):
  for arguments, message in (
    ((*EVALUATE, '--lm=file'), 'error: --lm is for the beam search: give --be'),
    ((*TRAIN, *RUN, '--seed_epochs=1', '--seed_steps=1'), '--seed_epochs or -'),
    (
      (*EVALUATE, '--personalise_epochs=1', '--personalise_learning_rate=0'),
      'error: --personalise_learning_rate=0.0 must be positive',
    ),
  ):
    code, _, err = call(*arguments, cwd=workplace)
    assert code == 1 and message in err
    assert '`' not in err


def test_a_vocabulary_made_of_public_text_writes_a_store(workplace):
  (workplace / 'text').write_text('turn on the lights\nplay jazz\n' * 9)
  code, out, err = call(
    *('vocabulary', '--text=text', '--size=32', '--output=v'), cwd=workplace
  )
  assert (code, err) == (0, '')
  assert '32 pieces from 18 lines' in out
  code, out, err = call(
    *('prepare', '--source=synthetic', '--clients=2', '--output=pieces'),
    *('--vocabulary=spm:v', '--store=features', '--holdout_clients=1'),
    cwd=workplace,
  )
  assert code == 0, err
  assert out.count('clients     1') == 2
  for name in 'pieces', 'pieces-holdout':
    plot = (workplace / name / 'clients.png').read_bytes()
    assert plot.startswith(b'\x89PNG')
  code, _, err = call(
    *TRAIN, *RUN, '--train_store=pieces', '--output_dir=never', cwd=workplace
  )
  assert code == 1 and 'different vocabularies' in err


def test_a_run_repeats_from_its_own_flagfile(workplace):
  code, out, err = call(
    *TRAIN,
    *RUN,
    '--seed_epochs=1',
    '--rounds=1',
    '--client_steps=1',
    cwd=workplace,
  )
  assert code == 0, err
  assert 'federated model, 1 round' in out
  assert (workplace / 'run' / 'report.html').exists()
  code, _, err = call(
    *('train', '--flagfile=run/flags.txt', '--output_dir=again'),
    cwd=workplace,
  )
  assert code == 0, err
  flags = [
    (workplace / run / 'flags.txt').read_text().replace(f'/{run}', '/RUN')
    for run in ('run', 'again')
  ]
  assert flags[0] == flags[1]
  code, _, err = call(
    *('train', '--flagfile=run/flags.txt', '--clip_norm=0.2'),
    cwd=workplace,
  )
  assert code == 1 and '--clip_norm was 0.03, is 0.2' in err
  code, out, _ = call('privacy', '--ledger=run,again', cwd=workplace)
  assert code == 0 and '2 x each client with probability' in out
  code, out, err = call('report', 'run', 'again', cwd=workplace)
  assert code == 0, err
  assert 'in all runs, the joint epsilon' in ' '.join(out.split())
  assert 'href="run/report.html"' in (workplace / 'compare.html').read_text()
  code, out, _ = call(
    'evaluate', '--model_dir=run', '--eval_store=eval', cwd=workplace
  )
  assert code == 0 and 'worst utterances' in out and 'hypothesis' in out
  code, out, err = call(
    'export', '--run_dir=run', '--export_dir=served', cwd=workplace
  )
  assert code == 0, err
  assert 'Version 1 of asr' in out and 'wav             wav -> text' in out
  noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
  soundfile.write(workplace / 'noise.flac', noise, 16_000)
  code, out, err = call(
    *('transcribe', '--export_dir=served', 'noise.flac', '--json', 'file'),
    cwd=workplace,
  )
  heard = json.loads(out)
  assert heard['file'] == str(workplace / 'noise.flac') and not heard['error']
  assert code == 1 and '1 of 2 files cannot be transcribed' in err


def test_a_sweep_trains_with_every_setting_and_compares(workplace):
  arguments = (*SWEEP, '--rounds=0', '--seed_epochs=1', '--grid=seed=1,2')
  code, out, err = call(*arguments, cwd=workplace)
  assert code == 0, err
  assert out.count('WER') == 2 and 'compared' in out
  page = (workplace / 'sweep' / 'compare.html').read_text()
  for name in 'seed=1', 'seed=2':
    assert f'{name}/report.html' in page
    assert (
      f'--{name}\n' in (workplace / 'sweep' / name / 'flags.txt').read_text()
    )
