"""Settings are values: no code writes flags, and the library names none."""

import ast
import functools
import os
import pathlib
import re
import subprocess
import sys

import pytest

from pipelines import setting_names
from tff_asr import errors

ROOT = pathlib.Path(__file__).parents[2]
PIPELINES = sorted((ROOT / 'pipelines').glob('*.py'))
LIBRARY = sorted((ROOT / 'tff_asr').rglob('*.py'))
COMMANDS = [f.stem for f in PIPELINES if 'command_line.run' in f.read_text()]

# Words of the form of a setting that are none.
NO_SETTINGS = {'clips'}  # A folder of Common Voice.


# Several commands have flags of one name: the flags of each are removed before
# the next command is imported.
_OF_ALL = """
import importlib, sys
from absl import flags
for name in sys.argv[1:]:
  importlib.import_module('pipelines.' + name)
  found = flags.FLAGS.flags_by_module_dict()
  for flag in [f for m in found if 'pipelines' in m for f in found[m]]:
    print(flag.name)
    delattr(flags.FLAGS, flag.name)
"""


@functools.cache
def names():
  """Names of the flags of all commands."""
  done = subprocess.run(
    [sys.executable, '-c', _OF_ALL, *COMMANDS],
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path]),
      'TF_CPP_MIN_LOG_LEVEL': '3',
    },
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  return frozenset(done.stdout.split())


def text_of(node):
  """The text of a string, with `VALUE` for its computed parts."""
  if isinstance(node, ast.Constant):
    return node.value
  return ''.join(
    part.value if isinstance(part, ast.Constant) else 'VALUE'
    for part in node.values
  )


def strings(tree):
  """The strings of a module, docstrings too; none is part of another."""
  inner = {
    id(part)
    for node in ast.walk(tree)
    if isinstance(node, ast.JoinedStr)
    for part in node.values
  }
  for node in ast.walk(tree):
    if id(node) not in inner and (
      isinstance(node, ast.JoinedStr)
      or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ):
      yield text_of(node)


def messages(source):
  """The texts of the errors of a module, and the settings they require."""
  for node in ast.walk(ast.parse(source)):
    if not isinstance(node, ast.Call):
      continue
    name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
    if name in ('require', 'UserError'):
      for argument in node.args:
        yield from strings(argument)
    elif name == 'require_positive':
      for keyword in node.keywords:
        of = ''.join(f'{argument.value}.' for argument in node.args)
        yield f'`{of}{keyword.arg}`'


def writes(source):
  """Lines of a module that write into flags."""
  for node in ast.walk(ast.parse(source)):
    targets = getattr(node, 'targets', [getattr(node, 'target', None)])
    if not isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
      targets = []
    called = ast.unparse(node.func) if isinstance(node, ast.Call) else ''
    if (
      any(re.search(r'\bFLAGS\b.*[.\[]', ast.unparse(t)) for t in targets)
      or any(re.search(r'flag\w*\.value$', ast.unparse(t)) for t in targets)
      or called in ('setattr', 'flags.set_default')
      or re.search(r'\bFLAGS\b.*\.(set_default|__setattr__)$', called)
    ):
      yield ast.unparse(node)


@pytest.mark.parametrize(
  'source',
  [
    'flags.FLAGS.clip_norm = 1',
    'FLAGS["clip_norm"].value = 1',
    'flag.value = 1',
    'a = flags.FLAGS.clip_norm = 1',
    'flags.FLAGS.rounds += 1',
    'setattr(flags.FLAGS, name, 1)',
    'flags.FLAGS.set_default("clip_norm", 1)',
    'flags.set_default(_CLIP_NORM, 1)',
  ],
)
def test_every_way_to_write_a_flag_is_seen(source):
  assert list(writes(source))


def test_no_code_writes_into_flags():
  assert len(PIPELINES) > 10 and len(LIBRARY) > 50
  for file in PIPELINES + LIBRARY:
    assert not list(writes(file.read_text())), file


def test_a_setting_in_a_message_is_a_flag():
  count = 0
  for file in LIBRARY:
    for text in messages(file.read_text()):
      for setting in setting_names.SETTING.finditer(text):
        if setting[1] in NO_SETTINGS:
          continue
        count += 1
        assert setting_names.flag_of(setting[1]) in names(), (file, setting[0])
  assert count > 40


def test_the_table_has_flags_and_no_flag_under_its_own_name():
  for field, flag in setting_names.FLAGS.items():
    assert flag in names() and field != flag
    assert field not in names(), f'{field} may be the flag of this name'


def fields(source):
  """The fields of the classes of a module, and its parameters."""
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.ClassDef):
      for part in node.body:
        if isinstance(part, ast.AnnAssign):
          yield from (part.target.id, f'{node.name}.{part.target.id}')
    elif isinstance(node, ast.arg):
      yield node.arg


def test_the_table_has_settings_of_the_library():
  found = {name for file in LIBRARY for name in fields(file.read_text())}
  assert setting_names.FLAGS.keys() <= found


def names_of_flags(text):
  """Flags and targets that a text of the library names."""
  text = text.replace('compile-lm --text=yes', '')  # A program of IRSTLM.
  targets = re.findall(r'//pipelines\S*', text)
  return targets + [n for n in re.findall(r'--(\w+)', text) if n in names()]


def test_the_library_names_no_flags():
  assert names_of_flags('Give --clip_norm, as //pipelines:train has it.')
  for file in LIBRARY:
    found = [
      name
      for text in strings(ast.parse(file.read_text()))
      for name in names_of_flags(text)
    ]
    assert not found, (file, found)


NAMED = {'available_hours', 'clip_quantile', 'cohort_size', 'seed_epochs'}


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('`cohort_size=5` is too many.', '--cohort_size=5 is too many.'),
    ('Give `cohort_size`.', 'Give --cohort_size.'),
    ('`hours=6`, `quantile`', '--available_hours=6, --clip_quantile'),
    ('`Daily.hours`', '--available_hours'),
    ('`CentralConfig.epochs=0`', '--seed_epochs=0'),
    # Settings of other commands, and other words.
    ('`BatchConfig.epochs`', '`BatchConfig.epochs`'),
    ('`beam=3`, `nvidia-smi`, `model/`', '`beam=3`, `nvidia-smi`, `model/`'),
  ],
)
def test_settings_become_flags_of_the_command(text, expected):
  assert setting_names.translated(text, NAMED) == expected


def test_a_value_that_is_not_positive_is_named():
  with pytest.raises(errors.UserError, match='`max_seconds=0` must'):
    errors.require_positive(max_seconds=0)
  with pytest.raises(
    errors.UserError, match=r'`CentralConfig\.epochs=nan` must'
  ):
    errors.require_positive('CentralConfig', epochs=float('nan'))
