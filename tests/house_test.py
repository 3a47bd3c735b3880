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

LONGEST = 60  # Lines of a function, its docstring included.
MOST_POSITIONAL = 6
# Functions that are longer, or take more: the list is to become empty.
EXCEPTIONS = {
  'benchmarks/hostile_requests.py: _wav',
  'executors/context.py: set_local_device_context',
  'executors/context.py: __init__',
  'text/sentence_pieces.py: train',
}


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


SCHEMES = ROOT / 'tff_asr' / 'privacy' / 'sampling'


def names_of_schemes() -> set[str]:
  """Names of the sampling schemes, from the files of their classes."""
  found = set()
  for file in SCHEMES.glob('*.py'):
    found |= set(re.findall(r"^  name = '(\w+)'$", file.read_text(), re.M))
  return found


# Other ways to name a scheme in a comparison or a table.
_SCHEME = re.compile(
  r'\b(Poisson|FixedSize|Turns|(sampling|scheme)\.name'
  r'|schemes\.(DEFAULT|POISSON|FIXED|NONE))\b'
)


def branches_on(source: str, names: set[str]) -> list[str]:
  """Where a module compares a name with a sampling scheme, or looks it up.

  `none` is the name of other things as well: there the code must speak of
  sampling.
  """

  def is_name(node, text) -> bool:
    if not isinstance(node, ast.Constant) or node.value not in names:
      return False
    return node.value != 'none' or bool(re.search('sampling|scheme', text))

  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Compare):
      parts = [node.left, *node.comparators]
    elif isinstance(node, ast.Dict):
      parts = [key for key in node.keys if key]
    elif isinstance(node, ast.Subscript):
      parts = [node.slice]
    elif isinstance(node, ast.Match):
      parts = [case.pattern for case in node.cases]
    elif isinstance(node, ast.Call):
      parts = node.args[1:] if ast.unparse(node.func) == 'isinstance' else []
    else:
      continue
    text = ast.unparse(node)
    if any(is_name(c, text) for part in parts for c in ast.walk(part)) or any(
      _SCHEME.search(ast.unparse(part)) for part in parts
    ):
      found.append(text)
  return found


@pytest.mark.parametrize(
  'code',
  [
    "if plan.sampling == 'none': pass",
    "if config.scheme in ('fixed', other): pass",
    "words = {'poisson': 1}",
    "word = WORDS['fixed']",
    "match name:\n  case 'poisson': pass",
    "match sampling:\n  case 'none' | None: pass",
    'if isinstance(plan.sampling, turns.Turns): pass',
    'if type(plan.sampling) is turns.Turns: pass',
    'if plan.sampling.name == turns.Turns.name: pass',
    'if config.sampling != schemes.DEFAULT: pass',
    'words = {schemes.FIXED: 1}',
  ],
)
def test_a_branch_on_a_sampling_scheme_is_seen(code):
  assert branches_on(code, {'poisson', 'fixed', 'none'})


@pytest.mark.parametrize(
  'code',
  [
    "sampling = schemes.named('poisson')",
    "if clipping == 'none': pass",
    'scheme = poisson.Poisson(population=1, cohort_size=1)',
  ],
)
def test_other_code_is_no_branch_on_a_sampling_scheme(code):
  assert not branches_on(code, {'poisson', 'fixed', 'none'})


def test_only_its_class_knows_what_a_sampling_scheme_does():
  names = names_of_schemes()
  assert names == {'poisson', 'fixed', 'none'}
  for file in [
    *(ROOT / 'tff_asr').rglob('*.py'),
    ROOT / 'pipelines' / 'privacy.py',
    *sorted((ROOT / 'pipelines').glob('*.py')),
  ]:
    found = branches_on(file.read_text(), names)
    assert not found, f'{file}: {found}'


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
  found = {}
  for file in sorted((ROOT / 'tff_asr').rglob('*.py')):
    path = file.relative_to(ROOT / 'tff_asr').as_posix()
    for name, lines, positional in too_much(file.read_text()):
      found[f'{path}: {name}'] = f'{lines} lines, {positional} positional'
  extra = {n: figures for n, figures in found.items() if n not in EXCEPTIONS}
  assert not extra
  assert found.keys() == EXCEPTIONS, 'take from EXCEPTIONS what is short now'


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
