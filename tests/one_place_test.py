"""Each idea of the house lives in one place."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]

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
