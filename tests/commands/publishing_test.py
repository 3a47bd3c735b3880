"""What is handed on of a run tells of no speaker, no path and no time."""

import asyncio
import dataclasses
import json
import os
import pathlib
import pty
import re
import sys
import tempfile
import termios
import time

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from tests import stores
from tests.runs import runs
from tff_asr import checksums
from tff_asr.commands import export
from tff_asr.learning import evaluation
from tff_asr.models import model_folder, presets
from tff_asr.programs import progress
from tff_asr.reports import comparison, model_card, run_report
from tff_asr.runs import checkpoints, records
from tff_asr.text import vocabularies

# Long enough not to come about by chance, for instance in a plot.
WORDS = st.text('qxzvkjw', min_size=9, max_size=12)
TEXTS = st.lists(WORDS, min_size=1, max_size=3).map(' '.join)
NAMES = st.builds('{}{}'.format, WORDS, st.sampled_from(['', ' é', '<b>', '"']))
TIMED = 'round,wer,cer,seconds/save,seconds/evaluate,epsilon\n' + (
  '0,0.6,0.3,987.6,987.6,\n1,0.5,0.2,987.6,987.6,9.0\n'
)


@st.composite
def transcripts(draw):
  found = []
  for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
    for number in range(draw(st.integers(1, 3))):
      utterance = f'{draw(WORDS)}-{number}'
      heard = draw(TEXTS | st.just(''))
      found.append(
        evaluation.Transcript(name, utterance, draw(TEXTS), heard, 1.0)
      )
  return found


def made_up(*texts):
  """The words in texts, without what HTML writes otherwise."""
  return set(re.findall('[qxzvkjw]+', ' '.join(texts)))


def handed_on(folder, output):
  """Names and contents of what is handed on, of a run and a comparison."""
  found = {
    path.name: path.read_text()
    for path in (folder.report, folder.model_card, folder.summary, output)
  }
  facts = export.provenance(records.read(folder.path))
  return found | {'provenance.json': json.dumps(facts, ensure_ascii=False)}


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
  folder = tmp_path_factory.mktemp('stores')
  items = [stores.make(client, f'{client}-1') for client in ('ann', 'bob')]
  return stores.opened(folder / 'heard', items)


@settings(max_examples=6, deadline=None)
@given(
  transcripts(),
  st.lists(WORDS, min_size=3, max_size=3, unique=True),
  st.sampled_from([runs.PLAN, None]),
)
def test_no_names_no_words_no_paths(opened, heard, folders, plan):
  facts = model_card.provenance(opened, opened, ['ann'], ['bob'], True)
  with tempfile.TemporaryDirectory() as base:
    place = pathlib.Path(base).joinpath(*folders)
    made = []
    for name, other in ('one', 'here'), ('two', 'there'):
      folder, _ = runs.finish(
        place / name / 'run',
        plan,
        transcripts=heard,
        provenance=facts,
        private_details=True,
        train_store=f'{place}/{other}/store',
        prior_ledger=f'{place}/a,{place}/{other}',
        model='tiny',
      )
      made.append(folder)
    # A page that is not above the runs cannot link to them without a path.
    output = pathlib.Path(base) / 'pages' / 'compare.html'
    output.parent.mkdir()
    comparison.write([f.path for f in made], output, private_details=True)
    names = made_up(*(t.client_id for t in heard))
    texts = (text for t in heard for text in dataclasses.astuple(t)[1:4])
    secrets = names | made_up(*texts) | {*folders, base}
    for name, text in handed_on(made[0], output).items():
      for secret in secrets:
        assert secret not in text, name
    private = made[0].private_report.read_text()
    worst = max(heard, key=lambda t: t.wer)
    for secret in names | made_up(worst.reference) | {f'{place}/here/store'}:
      assert secret in private
    compared = output.with_name('compare_private.html').read_text()
    assert f'{place}/here/store' in compared


def test_different_paths_that_end_alike_are_told_apart(tmp_path):
  made = [
    runs.begin(tmp_path / name, None, train_store=f'/{where}/store')[0].path
    for name, where in (('one', 'x'), ('two', 'y'), ('three', 'x'))
  ]
  comparison.write(made, tmp_path / 'compare.html')
  text = (tmp_path / 'compare.html').read_text()
  cells = [f'<td>store ({i})</td>' for i in (1, 2, 1)]
  assert ''.join(cells) in text


def test_a_run_at_the_root_has_no_path_for_a_name():
  paths = [pathlib.Path('/run'), pathlib.Path('/x/run')]
  assert comparison._names(paths) == ['run', 'x/run']


def test_why_runs_do_not_add_up_is_said_without_paths(tmp_path):
  made = [
    runs.begin(tmp_path / sampling, runs.make_plan(sampling=sampling))[0].path
    for sampling in ('poisson', 'fixed')
  ]
  comparison.write(made, tmp_path / 'compare.html')
  text = (tmp_path / 'compare.html').read_text()
  assert 'do not add up' in text and str(tmp_path) not in text


@pytest.mark.parametrize(
  ('plan', 'is_told'),
  [
    (runs.PLAN, False),
    (None, True),
    (runs.make_plan(unprotected_metrics=True), True),
  ],
)
def test_durations_are_told_where_nothing_is_promised(tmp_path, plan, is_told):
  """Or where figures without noise were asked for; they are marked then."""
  folder, table = runs.finish(tmp_path / 'run', plan)
  output = tmp_path / 'compare.html'
  comparison.write([folder.path], output)
  summary = runs.summary_of(folder)
  prefix = 'unprotected/' if plan else ''
  assert summary.get(f'{prefix}minutes') == (runs.MINUTES if is_told else None)
  assert 'minutes' not in summary or plan is None
  for text in table, folder.report.read_text(), output.read_text():
    assert (f'{runs.MINUTES:g}' in text) == is_told
    assert (f'{runs.MINUTES:g} UNPROTECTED' in text) == bool(is_told and plan)


def test_durations_of_an_earlier_private_run_are_not_told_on(tmp_path):
  """Its folder has them: earlier releases wrote them under a promise."""
  folder, _ = runs.finish(tmp_path / 'run', runs.PLAN, metrics=TIMED, rounds=1)
  summary = runs.summary_of(folder) | {'minutes': runs.MINUTES}
  checksums.write(folder.summary, json.dumps(summary))
  run_report.again(folder.path)
  output = tmp_path / 'compare.html'
  comparison.write([folder.path], output)
  texts = handed_on(folder, output)
  del texts['summary.json']
  for name, text in texts.items():
    assert '987.6' not in text and 'Seconds by round' not in text, name


def test_models_and_checkpoints_have_no_times_in_them(tmp_path):
  config = presets.preset('tiny', vocabularies.CharacterVocabulary().size)
  encoder = config.build()

  def write(name):
    folder = tmp_path / name
    model_folder.save(folder, encoder, vocabularies.CharacterVocabulary())
    kept = checkpoints.Checkpoints(folder / 'checkpoints', 1)
    state = {'a': np.arange(3.0), 'b': 'text'}
    asyncio.run(kept.save(state, 1))
    return {
      str(path.relative_to(folder)): path.read_bytes()
      for path in folder.rglob('*')
      if path.is_file()
    }

  before = write('one')
  time.sleep(2.1)  # The times in archives are in steps of two seconds.
  assert write('two') == before


def shown(pause, shows_time, monkeypatch):
  """What a terminal gets of three rounds."""
  ours, terminal = pty.openpty()
  termios.tcsetwinsize(terminal, (25, 120))
  with open(terminal, 'w') as file, monkeypatch.context() as patched:
    patched.setattr(sys, 'stderr', file)
    patched.setattr(sys, 'stdout', file)
    with progress.Progress(0, 3, 16, shows_time) as bar:
      for number in range(4):
        time.sleep(pause * number)
        rate = 1 / (number + 1)
        bar.show(number, {'wer': rate, 'cer': rate, 'epsilon': number + 0.5})
    file.write('END')
    file.flush()
    text = b''
    while not text.endswith(b'END'):
      text += os.read(ours, 1 << 16)
  os.close(ours)
  return text.decode()


def test_the_bar_of_a_private_run_shows_rounds_and_no_time(monkeypatch):
  slow, fast = (shown(pause, False, monkeypatch) for pause in (0.3, 0.0))
  assert slow == fast
  assert '3/3' in slow and 'epsilon=3.5' in slow and 'WER=25.0%' in slow
  timed = shown(0.3, True, monkeypatch)
  assert 'clients/s' in timed and 'clients/s' not in slow
  assert '<' in timed and '<' not in slow  # Elapsed, and left.
