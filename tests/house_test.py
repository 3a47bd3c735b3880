"""Rooms depend on each other in one direction only; functions are short."""

import ast
from collections.abc import Iterator
import graphlib
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

BASE = {path.stem for path in (ROOT / 'tff_asr').glob('*.py')}

LONGEST = 60  # Lines of a function, its docstring included.
MOST_POSITIONAL = 6


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
  return {p[1] for p in parts if p[0] == 'tff_asr' and len(p) > 1} - BASE


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


@pytest.mark.parametrize('room', ROOMS)
def test_a_build_file_names_the_rooms_that_its_room_imports(room):
  build = (ROOT / 'tff_asr' / room / 'BUILD').read_text()
  used = set()
  for file in (ROOT / 'tff_asr' / room).rglob('*.py'):
    used |= imported_rooms(file.read_text()) - {room}
  assert set(re.findall('"//tff_asr/(\\w+)"', build)) == used


def test_no_room_holds_more_than_a_fifth_of_the_code():
  lines = {
    room: sum(
      len(file.read_text().splitlines())
      for file in (ROOT / 'tff_asr' / room).rglob('*.py')
    )
    for room in ROOMS
  }
  largest = max(lines, key=lines.get)
  assert lines[largest] <= sum(lines.values()) / 5, largest


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


def imported_modules(source: str, modules: set[str]) -> set[str]:
  """Modules that a module imports anywhere, for type checks alone too."""
  names = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names |= {node.module} | {f'{node.module}.{a.name}' for a in node.names}
  return names & modules


def circle(sources: dict[str, str]) -> list[str] | None:
  """Modules that import each other, or `None` if there are none."""
  graph = {
    name: imported_modules(source, sources.keys())
    for name, source in sources.items()
  }
  try:
    graphlib.TopologicalSorter(graph).prepare()
  except graphlib.CycleError as error:
    return error.args[1]
  return None


def test_a_circle_is_seen_in_every_form():
  sources = {
    'tff_asr.a.x': 'from tff_asr.a import y',
    'tff_asr.a.y': 'from tff_asr.b.z import thing',
    'tff_asr.b.z': 'pass',
  }
  assert circle(sources) is None
  for back in (
    'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n'
    '  from tff_asr.a import x',
    'def f():\n  import tff_asr.a.x',
    'from tff_asr.a.x import X',
  ):
    assert set(circle({**sources, 'tff_asr.b.z': back})) == set(sources)


def test_no_two_files_import_each_other():
  sources = {
    '.'.join(file.relative_to(ROOT).with_suffix('').parts): file.read_text()
    for file in (ROOT / 'tff_asr').rglob('*.py')
  }
  assert len(sources) > 100
  found = circle(sources)
  assert found is None, ' -> '.join(found)


def too_much(source: str) -> Iterator[tuple[str, int, int]]:
  """Yields functions above the limits: name, lines, positional parameters."""
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
      lines = node.end_lineno - node.lineno + 1
      names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
      positional = len(names) - (names[:1] in (['self'], ['cls']))
      if lines > LONGEST or positional > MOST_POSITIONAL:
        yield node.name, lines, positional


def test_too_much_sees_every_function():
  source = (
    'class A:\n  async def f(self, a, b, c, d, e, f, *, g): pass\n'
    '  def g(self, a, b, /, c, d, e, f, g):\n    def h():\n'
    + LONGEST
    * '      pass\n'
  )
  assert list(too_much(source)) == [
    ('g', LONGEST + 2, 7),
    ('h', LONGEST + 1, 0),
  ]


def test_functions_are_short_and_take_few_parameters():
  for file in sorted((ROOT / 'tff_asr').rglob('*.py')):
    for name, lines, positional in too_much(file.read_text()):
      pytest.fail(f'{file}: {name} has {lines} lines, {positional} positional')


def test_the_table_of_a_round_names_files_that_exist():
  source = (ROOT / 'tff_asr/learning/federated.py').read_text()
  table = ast.get_docstring(ast.parse(source)).split('```')[1]
  paths = re.findall(r'[\w/]+\.py', table)
  assert len(paths) > 8
  assert all((ROOT / path).is_file() for path in paths)
