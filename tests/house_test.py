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


def constants(path: str) -> set[str]:
  """The strings that a module gives names to."""
  body = ast.parse((ROOT / path).read_text()).body
  return {
    node.value.value
    for node in body
    if isinstance(node, ast.Assign)
    and isinstance(node.value, ast.Constant)
    and isinstance(node.value.value, str)
  }


# Rooms where such a key is that of a metric.
METRICS_ROOMS = ('runs', 'programs', 'reports', 'commands')


def column_literals(source: str, columns: set[str], words: set[str]):
  """Yields the names of columns that a module spells itself.

  Args:
    source: Of the module.
    columns: Names, and prefixes that end with a slash, that mean nothing else.
    words: Names that are words as well: they count only as keys.
  """
  nodes = list(ast.walk(ast.parse(source)))
  prefixes = tuple(name for name in columns if name.endswith('/'))
  for node in nodes:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
      text = node.value
      if text in columns or (' ' not in text and text.startswith(prefixes)):
        yield text
  for node in nodes:
    keys: list[ast.AST | None] = []
    match node:
      case ast.Subscript():
        keys = [node.slice]
      case ast.Dict():
        keys = node.keys
      case ast.Compare(ops=[ast.In() | ast.NotIn(), *_]):
        keys = [node.left]
      case ast.Call(func=ast.Attribute(attr='get' | 'pop'), args=[first, *_]):
        keys = [first]
      case ast.BinOp(op=ast.Add()):
        keys = [node.right]
      case ast.JoinedStr(values=[ast.FormattedValue(), last]):
        keys = [last]
    for key in keys:
      if isinstance(key, ast.Constant) and key.value in words:
        yield key.value


def test_column_literals_sees_every_form():
  source = (
    "a['w'], {'w': 1}, 'w' in a, a.get('w'), p + 'w', f'{p}w', f'p/{x}', 'c'\n"
    "label('w', 'p / q', f'{n} w')"
  )
  found = list(column_literals(source, {'c', 'p/'}, {'w'}))
  assert sorted(found) == ['c', 'p/', *6 * ['w']]


def test_columns_of_metrics_are_named_in_one_place():
  names = constants('tff_asr/runs/columns.py')
  words = {
    *('round', 'loss', 'clients', 'failed', 'utterances', 'epsilon'),
    'minutes',
  }
  assert names >= words | {'wer', 'norm/', 'unprotected/', 'epsilon_pld'}
  for file in (ROOT / 'tff_asr').rglob('*.py'):
    path = file.relative_to(ROOT / 'tff_asr')
    if path.as_posix() != 'runs/columns.py':
      keys = words if path.parts[0] in METRICS_ROOMS else set()
      found = list(column_literals(file.read_text(), names - words, keys))
      assert not found, f'{file} spells {found}: take them from runs/columns.py'


def renames(source: str) -> list[str]:
  """The calls in a module that sync, rename or link files."""
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.ImportFrom) and node.module in ('os', 'shutil'):
      found += [alias.name for alias in node.names]
    if not (
      isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ):
      continue
    owner, name = ast.unparse(node.func.value), node.func.attr
    # `str.replace` takes two arguments.
    is_of_a_path = len(node.args) == 1 and not node.keywords
    if (
      (name in ('rename', 'renames', 'hardlink_to') and owner != 'durable')
      or (name == 'replace' and is_of_a_path)
      or (owner == 'os' and name in ('replace', 'link', 'fsync', 'fdatasync'))
      or (owner == 'shutil' and name == 'move')
      or name in ('mkstemp', 'NamedTemporaryFile')
    ):
      found.append(f'{owner}.{name}')
  return found


def test_renames_sees_every_form():
  forms = (
    'path.rename(x)',
    'path.replace(x)',
    'os.replace(x, y)',
    'os.fsync(x)',
    'os.link(x, y)',
    'tf.io.gfile.rename(x, y)',
    'shutil.move(x, y)',
    'path.hardlink_to(x)',
  )
  for form in forms:
    assert renames(form), form
  assert renames('from os import fsync')
  others = "durable.rename(x, y); text.replace('a', 'b'); replace(x, y=1)"
  assert not renames(others + '; dataclasses.replace(x, y=1)')


def test_files_are_synced_and_renamed_in_one_place():
  for file in (ROOT / 'tff_asr').rglob('*.py'):
    if file.name != 'durable.py':
      assert not renames(file.read_text()), f'{file}: use durable.py'


def test_a_tape_is_in_one_place():
  with_tape = [
    file.name
    for file in (ROOT / 'tff_asr').rglob('*.py')
    if 'GradientTape' in file.read_text()
  ]
  assert with_tape == ['training_step.py']


def test_matplotlib_is_imported_in_one_place():
  importing = [
    file.name
    for file in (ROOT / 'tff_asr').rglob('*.py')
    if 'import matplotlib' in file.read_text()
  ]
  assert importing == ['drawing.py']
