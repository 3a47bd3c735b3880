"""The public names of the library, which other projects import."""

import ast
import importlib
import inspect
import pathlib
import re
import sys
import types

import pytest

import tff_asr
from tff_asr import errors, models

ROOT = pathlib.Path(__file__).parents[1]

# The public interface: each name, with its kind.
PUBLIC = {
  'corpora': {
    'Reader': 'class',
    'Recording': 'class',
    'Setting': 'class',
    'SettingKind': 'class',
    'Skipped': 'class',
    'Source': 'class',
    'Utterance': 'class',
    'register_reader': 'function',
  },
  'executors': {
    'AsyncLocalDeviceContext': 'class',
    'ExecutionError': 'error',
    'LocalDeviceContext': 'class',
    'UnsupportedError': 'error',
    'set_local_device_context': 'function',
  },
  'learning': {
    'build_private_fed_avg': 'function',
    'no_metrics': 'function',
  },
  'models': {
    'Encoder': 'class',
    'EncoderConfig': 'class',
    'GatedConvolution': 'class',
    'Layer': 'class',
    'Output': 'class',
    'UtteranceNormalization': 'class',
    'register_kind': 'function',
    'register_preset': 'function',
  },
  'optimizers': {
    'build_gradient_clipping': 'function',
    'build_lamb': 'function',
    'build_lars': 'function',
  },
  'privacy': {
    'Epsilons': 'class',
    'FixedSize': 'class',
    'Gaussian': 'class',
    'LayerClipping': 'class',
    'Ledger': 'class',
    'Mechanism': 'class',
    'Poisson': 'class',
    'PrivacyPlan': 'class',
    'Relation': 'class',
    'RoundRelease': 'class',
    'Scheme': 'class',
    'Turns': 'class',
    'epsilons': 'function',
    'register_mechanism': 'function',
    'register_scheme': 'function',
  },
}
_WHAT_TO_DO = (
  'Other projects import these names. If the change is meant, change PUBLIC in'
  ' tests/public_names_test.py and docs/library.md too; to remove or rename a'
  ' name breaks these projects.'
)


def kind(value: object) -> str:
  """The kind of a public name."""
  if inspect.isclass(value):
    return 'error' if issubclass(value, Exception) else 'class'
  return (
    'function'
    if inspect.isfunction(inspect.unwrap(value))
    else type(value).__name__
  )


def names(room: types.ModuleType) -> dict[str, str]:
  """The public names of a room, with their kinds."""
  return {name: kind(getattr(room, name)) for name in room.__all__}


def rooms_with_names() -> set[str]:
  return {
    file.parent.name
    for file in (ROOT / 'tff_asr').glob('*/__init__.py')
    if '__all__' in file.read_text(encoding='utf-8')
  }


def test_the_public_rooms_are_these():
  assert rooms_with_names() == PUBLIC.keys(), _WHAT_TO_DO
  rooms = re.findall(r'`(\w+)`', tff_asr.__doc__.split('Each of them')[0])
  assert set(rooms) == PUBLIC.keys(), 'See the docstring of tff_asr.'


@pytest.mark.parametrize('room', PUBLIC)
def test_the_public_names_are_these(room):
  found = names(importlib.import_module(f'tff_asr.{room}'))
  assert found == PUBLIC[room], _WHAT_TO_DO


def test_a_change_of_kind_is_noticed():
  module = types.ModuleType('room')
  module.__all__ = ['a', 'b', 'c', 'd']
  module.a, module.b, module.c, module.d = int, kind, KeyError, {}
  assert names(module) == {
    'a': 'class',
    'b': 'function',
    'c': 'error',
    'd': 'dict',
  }


@pytest.mark.parametrize('room', PUBLIC)
def test_a_public_name_hides_no_module(room):
  folder = ROOT / 'tff_asr' / room
  modules = {p.stem for p in folder.glob('*.py')}
  modules |= {p.parent.name for p in folder.glob('*/__init__.py')}
  assert not modules & PUBLIC[room].keys()


@pytest.mark.parametrize('room', PUBLIC)
def test_a_room_exports_only_names_of_its_own(room):
  """Its file imports no other room, so no two rooms import each other."""
  source = (ROOT / 'tff_asr' / room / '__init__.py').read_text('utf-8')
  body = [
    node
    for node in ast.parse(source).body
    if not isinstance(node, ast.Expr | ast.Assign)
  ]
  for node in body:
    assert isinstance(node, ast.ImportFrom), ast.unparse(node)
    assert node.module.startswith(f'tff_asr.{room}.'), ast.unparse(node)
  imported = {alias.asname or alias.name for n in body for alias in n.names}
  assert imported == PUBLIC[room].keys()


def by_room(source: str) -> list[str]:
  """Imports of a public name from a room, or of the room itself."""
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      paths = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      paths = [f'{node.module}.{alias.name}' for alias in node.names]
    else:
      continue
    for path in paths:
      root, room, *rest = [*path.split('.'), '']
      public = {'': None, **PUBLIC.get(room, {})}
      if root == 'tff_asr' and room in PUBLIC and rest[0] in public:
        found.append(path)
  return found


@pytest.mark.parametrize(
  ('code', 'is_by_room'),
  [
    ('from tff_asr import privacy', True),
    ('import tff_asr.privacy', True),
    ('from tff_asr.privacy import PrivacyPlan', True),
    ('from tff_asr.privacy import plans', False),
    ('from tff_asr.privacy.plans import PrivacyPlan', False),
    ('import tff_asr.privacy.plans', False),
    ('from tff_asr import errors', False),
  ],
)
def test_an_import_by_the_room_is_seen(code, is_by_room):
  assert bool(by_room(code)) == is_by_room


def test_the_library_itself_imports_modules():
  """A module that imports a room would import itself by the room's file."""
  files = list((ROOT / 'tff_asr').rglob('*.py'))
  assert len(files) > 100
  for file in files:
    found = by_room(file.read_text(encoding='utf-8'))
    assert not found, f'{file} imports {found}: import its module'


def test_the_page_of_the_library_has_every_public_name():
  page = (ROOT / 'docs' / 'library.md').read_text(encoding='utf-8')
  lacking = {
    f'{room}.{name}'
    for room, public in PUBLIC.items()
    for name in public
    if not re.search(rf'\b{room}\.{name}\b|`{name}`', page)
  }
  assert not lacking, 'A public name is explained in docs/library.md.'


def test_the_page_uses_no_other_name():
  page = (ROOT / 'docs' / 'library.md').read_text(encoding='utf-8')
  used = set(re.findall(rf'(?<![\w.])({"|".join(PUBLIC)})\.(\w+)', page))
  used = {(room, name) for room, name in used if name != 'md'}
  assert len(used) > 20
  public = {(room, name) for room in PUBLIC for name in PUBLIC[room]}
  assert not used - public


@pytest.mark.parametrize(
  ('register', 'table', 'own'),
  [
    ('privacy.register_scheme', 'privacy.sampling.schemes.SCHEMES', 'poisson'),
    (
      'privacy.register_mechanism',
      'privacy.mechanism.mechanisms.MECHANISMS',
      'gaussian',
    ),
    ('models.register_kind', 'models.kinds.KINDS', 'transformer'),
    ('models.register_preset', 'models.presets.PRESETS', 'tiny'),
    (
      'corpora.register_reader',
      'corpora.readers.by_name.READERS',
      'synthetic',
    ),
  ],
)
def test_an_entry_of_another_name_is_added_and_none_is_replaced(
  monkeypatch, register, table, own
):
  room, name = register.split('.')
  function = getattr(importlib.import_module(f'tff_asr.{room}'), name)
  module, _, variable = f'tff_asr.{table}'.rpartition('.')
  before = getattr(importlib.import_module(module), variable)
  copy = dict(before)
  monkeypatch.setattr(sys.modules[module], variable, copy)

  def entry(key):
    words = dict.fromkeys(['help', 'neighbours', 'assumed'], 'words')
    return type('Entry', (), {'name': key, 'kind': key, **words})

  def call(key):
    if name == 'register_reader':
      function(key, object())
    elif name == 'register_preset':
      function(key, kind='transformer', width=8)
    else:
      function(entry(key))

  with pytest.raises(errors.UserError, match=f"'{own}' already"):
    call(own)
  assert copy == before
  call('another')
  assert copy.keys() == before.keys() | {'another'}


def test_a_preset_of_an_unknown_kind_is_refused():
  for settings in ({}, {'kind': 'unknown'}):
    with pytest.raises(errors.UserError, match='"kind"'):
      models.register_preset('another', **settings)
