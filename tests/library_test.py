"""The code of docs/library.md runs, section by section, and prints its text."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE = 'docs/library.md'


@dataclasses.dataclass(frozen=True)
class Block:
  """A block of code; lines are counted from 1.

  Attributes:
    fence: Line of the opening fence.
    code: Lines between the fences.
    text: The block of text after it, what the code prints, or `None`.
  """

  fence: int
  code: list[str]
  text: str | None


def sections(page: str) -> dict[str, list[Block]]:
  """The blocks of Python below each heading."""
  found: dict[str, list[Block]] = {}
  heading, fence, language, body, last = '', 0, '', [], None
  for number, line in enumerate(page.splitlines(), 1):
    if fence and line.strip() == '```':
      if language == 'python':
        last = Block(fence, body, None)
        found.setdefault(heading, []).append(last)
      elif language == 'text':
        assert last, f'{PAGE}:{fence}: no code prints this text'
        text = '\n'.join(body)
        found[heading][-1] = dataclasses.replace(last, text=text)
        last = None
      elif language != 'sh':
        raise AssertionError(f'{PAGE}:{fence}: neither python, text nor sh')
      fence = 0
    elif fence:
      body.append(line)
    elif line.lstrip().startswith('```'):
      fence, language, body = number, line.strip()[3:], []
    else:
      if line.startswith('#'):
        heading = line.lstrip('# ')
      if line.strip():
        last = None
  assert not fence, f'{PAGE}:{fence}: this block does not end'
  return found


def marker(block: Block) -> str:
  return f'--- block of line {block.fence} ---'


def script(blocks: list[Block]) -> str:
  """One section, whose lines have the numbers that they have on the page."""
  lines: list[str] = []
  for block in blocks:
    lines += [''] * (block.fence - 1 - len(lines))
    lines += [f'print({marker(block)!r}, flush=True)', *block.code]
  return '\n'.join(lines) + '\n'


def problem(blocks: list[Block], folder: pathlib.Path) -> str | None:
  """Runs a section as a process of its own.

  Returns:
    The block that fails, with its line, or `None`.
  """
  file = folder / f'line_{blocks[0].fence}.py'
  file.write_text(script(blocks), encoding='utf-8')
  environment = dict(os.environ)
  environment.pop('TF_CPP_MIN_LOG_LEVEL', None)  # Readers have none.
  done = subprocess.run(
    [sys.executable, str(file)],
    cwd=folder,
    env={
      **environment,
      'PYTHONPATH': os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
      'BUILD_WORKING_DIRECTORY': str(folder),
      'XDG_CACHE_HOME': str(folder / 'cache'),
    },
    capture_output=True,
    text=True,
    check=False,
  )
  lines = re.findall(rf'"{re.escape(str(file))}", line (\d+)', done.stderr)
  output = done.stdout
  for block in blocks:
    _, found, output = output.partition(marker(block) + '\n')
    if not found:
      line = lines[-1] if lines else block.fence
      return f'{PAGE}:{line}: a block did not run:\n{done.stderr}'
    printed, more, _ = output.partition('--- block of line ')
    if done.returncode and not more:
      line = lines[-1] if lines else block.fence
      return (
        f'{PAGE}:{line}: the block of line {block.fence} fails:\n{done.stderr}'
      )
    if block.text is not None and printed.strip() != block.text.strip():
      return f'{PAGE}:{block.fence}: the block prints:\n{printed}'
  return None


SECTIONS = sections((ROOT / PAGE).read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def problems(tmp_path_factory):
  """By section: they run in the order of the page, in one folder."""
  folder = tmp_path_factory.mktemp('library')
  return {name: problem(blocks, folder) for name, blocks in SECTIONS.items()}


@pytest.mark.parametrize('name', SECTIONS)
def test_the_code_of_a_section_runs(problems, name):
  assert problems[name] is None, problems[name]


def test_every_use_has_code():
  assert [len(blocks) for blocks in SECTIONS.values()] == [4, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
  ('code', 'found'),
  [
    ('x = 1\nprint(x / 0)', r'^docs/library\.md:7: .* line 5 fails'),
    ('print(2)', r'^docs/library\.md:5: the block prints:\n2'),
    ('def f(:', r'^docs/library\.md:6: a block did not run'),
    ('raise SystemExit(3)', r'^docs/library\.md:5: .* line 5 fails'),
    ('print(1)', None),
  ],
)
def test_a_block_that_fails_is_found(tmp_path, code, found):
  page = f'# A\n\n```python\n```\n```python\n{code}\n```\n\n```text\n1\n```\n'
  (blocks,) = sections(page).values()
  result = problem(blocks, tmp_path)
  if found is None:
    assert result is None
  else:
    assert re.search(found, result)


@pytest.mark.parametrize(
  'page',
  [
    '```py\nx = 1\n```\n',
    '```\nx = 1\n```\n',
    '```python\nx = 1\n',
    '```text\n1\n```\n',
    '```python\n```\nOther prose.\n\n```text\n1\n```\n',
  ],
)
def test_a_block_that_would_not_run_is_refused(page):
  with pytest.raises(AssertionError, match=r'library\.md:'):
    sections(page)
