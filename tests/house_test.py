"""Rooms depend on each other in one direction only."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Data flows down this list: a room imports rooms above it, and no others.
ROOMS = (
  'text',
  'audio',
  'corpora',
  'models',
  'serving',
  'optimizers',
  'privacy',
  'learning',
  'executors',
  'runs',
  'programs',
  'reports',
  'commands',
  'benchmarks',
)
# Rooms that know nothing of speech, or of models.
ALONE = ('text', 'audio', 'optimizers', 'privacy', 'executors')


def imported_rooms(source: str) -> set[str]:
  """Rooms that a module imports, however it spells it."""
  names = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, 'relative import'
      names += [f'{node.module}.{alias.name}' for alias in node.names]
  parts = [name.split('.') for name in names]
  return {p[1] for p in parts if p[0] == 'tff_asr' and len(p) > 1} - {
    'child_process',
    'errors',
    'checksums',
    'compat',
    'durable',
    'text_files',
    'tracing',
  }


def test_imported_rooms_sees_every_form():
  source = (
    'import tff_asr.a\nfrom tff_asr import b, errors\n'
    'def f():\n  from tff_asr.c.d import e\n'
  )
  assert imported_rooms(source) == {'a', 'b', 'c'}


def test_every_room_is_listed():
  found = {p.parent.name for p in (ROOT / 'tff_asr').glob('*/__init__.py')}
  assert found == set(ROOMS)


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_imports_only_rooms_above_it(room):
  files = list((ROOT / 'tff_asr' / room).rglob('*.py'))
  assert files
  above = set() if room in ALONE else set(ROOMS[: ROOMS.index(room)])
  for file in files:
    extra = imported_rooms(file.read_text()) - above - {room}
    assert not extra, f'{file} imports {extra}'


def test_flags_exist_only_in_pipelines():
  for file in (ROOT / 'tff_asr').rglob('*.py'):
    assert 'absl import flags' not in file.read_text(), file


def test_the_mechanism_is_to_be_had_from_the_plan_alone():
  """Parts made elsewhere could differ from what is accounted for."""
  parts = {
    r'\bdp_accounting\b': 'privacy/',
    r'\btensorflow_privacy\b': 'privacy/',
    # Docstrings may name their files.
    r'\b(gaussian|adaptive)_query\b(?!\.py)': 'privacy/',
    r'\bDifferentiallyPrivateFactory\b': 'privacy/mechanism/aggregation.py',
    r'\bSeedSource\b': 'privacy/',
  }
  for file in (ROOT / 'tff_asr').rglob('*.py'):
    for part, place in parts.items():
      if re.search(part, file.read_text()):
        path = file.relative_to(ROOT / 'tff_asr').as_posix()
        assert path.startswith(place), f'{path} has {part}'


def code_without_docstrings(source: str) -> str:
  """The code of a module, with its names and strings."""
  tree = ast.parse(source)
  for node in ast.walk(tree):
    match node:
      case (
        ast.Module()
        | ast.ClassDef()
        | ast.FunctionDef()
        | ast.AsyncFunctionDef()
      ) if ast.get_docstring(node) is not None:
        node.body = node.body[1:] or [ast.Pass()]
  return ast.unparse(tree)


def test_code_without_docstrings_keeps_names_and_strings():
  source = '"""One."""\ndef two(three):\n  """Four."""\n  return five("six")\n'
  code = code_without_docstrings(source).lower()
  assert all(word in code for word in ('two', 'three', 'five', 'six'))
  assert 'one' not in code and 'four' not in code


def test_only_models_names_a_kind_of_encoder():
  """The others use `models/encoder.py`, so that any encoder will do."""
  programs = list((ROOT / 'pipelines').glob('*.py'))
  assert programs
  files = [*(ROOT / 'tff_asr').rglob('*.py'), *programs]
  for file in files:
    if not file.is_relative_to(ROOT / 'tff_asr' / 'models'):
      code = code_without_docstrings(file.read_text())
      assert 'transformer' not in code.lower(), file
