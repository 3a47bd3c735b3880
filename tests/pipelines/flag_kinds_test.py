"""Values of flags, for the flags of all commands."""

import os
import pathlib
import re
import subprocess
import sys

from absl.testing import flagsaver
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from pipelines import command_line, flag_kinds, flagfiles, train
from tff_asr import errors
from tff_asr.runs import folders

ROOT = pathlib.Path(__file__).parents[2]
COMMANDS = (
  *('benchmark', 'evaluate', 'export', 'prepare', 'privacy', 'report'),
  *('sweep', 'train', 'transcribe', 'vocabulary'),
)

# Several commands have flags of one name: each is a process of its own.
_OF_ALL = """
import importlib, sys
from absl import flags
from pipelines import command_line
module = importlib.import_module('pipelines.' + sys.argv[1])
home = sys.argv[2]
FLAGS = flags.FLAGS
given = {}
for flag in FLAGS.get_key_flags_for_module(module):
  if flag.flag_type() == 'float' or 'Numbers' in type(flag.parser).__name__:
    for value in 'nan', 'inf', '-inf', '1e400', '1,000', '0,5', 'x', '':
      FLAGS.unparse_flags()
      try:
        command_line.parse(['x', *given, f'--{flag.name}={value}'])
        print('TAKEN', flag.name, value)
      except ValueError as error:
        line = str(error)
        if '\\n' in line or f'--{flag.name}' not in line and 'Give' not in line:
          print('UNCLEAR', line)
      flag.unparse()
  is_path = 'Path' in type(flag.parser).__name__
  says_path = any(
    word in flag.help.split('.')[0].split(':')[0].lower()
    for word in ('folder', 'file', ' store ')
  )
  if is_path:
    value = flag.parser.parse('~/x')
    if value not in (f'{home}/x', [f'{home}/x']):
      print('NOT EXPANDED', flag.name, value)
  elif says_path and 'string' in flag.flag_type():
    print('NO PATH', flag.name)
"""


@pytest.mark.parametrize('command', COMMANDS)
def test_every_number_is_finite_and_every_path_has_its_home(command, tmp_path):
  done = subprocess.run(
    [sys.executable, '-c', _OF_ALL, command, str(tmp_path)],
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path]),
      'HOME': str(tmp_path),
      'TF_CPP_MIN_LOG_LEVEL': '3',
    },
    capture_output=True,
    text=True,
    check=True,
  )
  # A module of the sweep's flags, and a name of the server's.
  assert done.stdout == '', done.stdout


@pytest.mark.parametrize(
  ('kind', 'text'),
  [
    (int, '2,000'),
    (int, '1,500,000'),
    (int, '204,800'),
    (int, '1,050'),
    (float, '0,5'),
    (float, '1,5'),
    (float, '1,000.5'),
  ],
)
def test_a_comma_inside_of_a_number_is_refused_with_a_hint(kind, text):
  parser = flag_kinds._NumbersParser(kind)
  with pytest.raises(ValueError, match='may be one number or') as raised:
    parser.parse(text)
  hint = re.search(r"write (\S+) for one, '(.*)' for", str(raised.value))
  assert parser.parse(hint[1]) == [kind(hint[1])]
  several = hint[2]
  if not re.search(r'\b0\d', several):
    assert len(parser.parse(several)) == text.count(',') + 1


@pytest.mark.parametrize('text', ['0', '-0.0', '-1', '24.5'])
def test_a_number_that_is_not_positive_is_refused(text):
  parser = flag_kinds._PositiveParser(24.0)
  assert [parser.parse('24'), parser.parse('1e-9')] == [24.0, 1e-9]
  with pytest.raises(ValueError, match='is not a positive number, at most 24'):
    parser.parse(text)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=5))
def test_numbers_with_spaces_are_a_list(numbers):
  parser = flag_kinds._NumbersParser(int)
  assert parser.parse(', '.join(map(str, numbers))) == numbers


def test_the_home_of_nobody_is_refused():
  with pytest.raises(errors.UserError, match='no home folder for ~nobody-'):
    command_line.path('~nobody-is-called-so/x')
  assert command_line.path('a~').name == 'a~'


# Train's flags, and values that are hard to keep in a line of text.
_TEXT = st.text(
  st.sampled_from('ab/.,"\' #=~-\\%{}é日\t\u00a0\u2028\x85\n\r'),
  min_size=1,
  max_size=12,
)
_VALUES = {
  'train_store': _TEXT,
  'eval_store': _TEXT,
  'output_dir': _TEXT,
  'seed_model': st.one_of(st.just(''), _TEXT),
  'prior_ledger': st.lists(_TEXT, max_size=3),
  'devices': st.one_of(st.just(''), _TEXT),
  'model': st.sampled_from(['tiny', 'small', 'paper']),
  'dropout': st.floats(0.0, 0.99),
  'rounds': st.integers(0, 10**6),
  'seed': st.integers(0, 2**31 - 1),
  'clip_norm': st.floats(1e-6, 1e6),
  'noise_multiplier': st.floats(0.01, 100.0),
  'delta': st.floats(1e-12, 1e-3),
  'max_epsilon': st.floats(0.1, 100.0),
  'client_steps': st.integers(1, 9),
  'seed_steps': st.integers(0, 9),
  'seed_clients': st.integers(0, 9),
  'sampling': st.sampled_from(['poisson', 'fixed', 'none']),
  'clipping': st.sampled_from(['global', 'per_layer']),
  'client_max_seconds': st.floats(0.0, 1e4),
  'insecure_noise_seed': st.integers(0, 2**63 - 1),
}
_BOOLEANS = ('log_json', 'private_details', 'release_unprotected_metrics')


def _parsed(arguments):
  """The run that flags describe, and their record."""
  with flagsaver.flagsaver():
    command_line.parse(['train', *arguments])
    values = train.resolved()
    return command_line.flags_in_force(values, train), train.config(values)


def _csv(values):
  quoted = ['"' + value.replace('"', '""') + '"' for value in values]
  return ','.join(quoted)


@given(
  values=st.fixed_dictionaries(
    {'train_store': _TEXT, 'eval_store': _TEXT, 'output_dir': _TEXT},
    optional={k: v for k, v in _VALUES.items() if not k.endswith(('e', 'r'))},
  ),
  others=st.fixed_dictionaries({}, optional=_VALUES),
  booleans=st.dictionaries(st.sampled_from(_BOOLEANS), st.booleans()),
  in_file=st.booleans(),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_every_run_can_be_repeated_from_its_flags(
  tmp_path_factory, values, others, booleans, in_file
):
  folder = tmp_path_factory.mktemp('flags')
  arguments = [
    f'--{name}={_csv(value) if isinstance(value, list) else value}'
    for name, value in (others | values).items()
  ]
  arguments += [
    f'--{name}' if value else f'--no{name}' for name, value in booleans.items()
  ]
  if in_file and not any('\n' in a or '\r' in a for a in arguments):
    text = '\n'.join(arguments)
    (folder / 'in.flags').write_text(text, encoding='utf-8')
    (folder / 'out.flags').write_bytes(b'\xef\xbb\xbf--flagfile=in.flags\r\n')
    arguments = list(flagfiles.expanded(['--flagfile=out.flags'], folder))
  try:
    flags_before, run = _parsed(arguments)
  except errors.UserError as error:
    assert '\n' not in str(error)
    return
  recorded = folders.RunFolder(folder / 'run', flags_before, {})
  assert folders.read_flags(recorded.flags) == flags_before
  before = os.getcwd()
  os.chdir('/')
  try:
    again = list(
      flagfiles.expanded([f'--flagfile={recorded.flags}'], pathlib.Path('/'))
    )
    flags_after, repeated = _parsed(again)
  finally:
    os.chdir(before)
  assert flags_after == flags_before
  assert repeated == run


def test_bounds_in_a_file_decide_the_norm_before_flags_are_recorded(tmp_path):
  (tmp_path / 'bounds.tsv').write_text('a\t0.3\nb\t0.4\n')
  stores = ['--train_store=a', '--eval_store=b', '--output_dir=c']
  given_flags = [
    *(*stores, '--layer_bounds=given'),
    f'--layer_bounds_file={tmp_path}/bounds.tsv',
  ]
  in_force, run = _parsed(given_flags)
  assert in_force['clip_norm'] == '0.5'
  again = [f'--{name}={value}' for name, value in in_force.items()]
  assert _parsed(again) == (in_force, run)
