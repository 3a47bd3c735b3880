"""Counts phrases that are hard to read, and fails where there are too many.

python3 tools/plain_english.py                 a table of all documents
python3 tools/plain_english.py --list          every phrase as FILE:LINE
python3 tools/plain_english.py --list docs/runs.md pipelines

A document is a Markdown file, the docstrings of a folder of Python files (a
folder of `tff_asr`, `pipelines`, `tools`), or `help`, the help texts of all
flags.  The table gives phrases per 1,000 words, without code and headings.
"""

import argparse
import ast
from collections.abc import Iterator
import dataclasses
import pathlib
import re
import sys

LIMIT = 1.0  # Phrases per 1,000 words.

# Documents in which the limit is enforced.
HELD = (
  'README.md',
  'configs/README.md',
  'docs/an4.md',
  'docs/data.md',
  'docs/glossary.md',
  'docs/library.md',
  'docs/models.md',
  'docs/performance.md',
  'docs/privacy.md',
  'docs/runs.md',
  'docs/serving.md',
  'tff_asr',
  'tff_asr/audio',
  'tff_asr/executors',
  'tff_asr/optimizers',
  'tff_asr/privacy',
  'tff_asr/programs',
  'tff_asr/runs',
  'tff_asr/serving',
  'tff_asr/text',
  'pipelines',
  'tff_asr/corpora',
  'tff_asr/reports',
  'tff_asr/commands',
  'tff_asr/benchmarks',
  'tff_asr/learning',
  'tff_asr/models',
  'help',
)

HELP = 'help'
_CODE = 'CODE'  # The word that replaces a piece of code.

# A space in a pattern is any white space.  `^` is the start of a sentence.
_PREPOSITION = '(of|with|by|from|for|to|than|on|in|at|as|and|or|but|into)'
_BE = '(am|is|are|was|were|be|been|being)'
_HEADLESS = (
  # "What" without a noun, outside of a question.
  r'(?<!see\s)(?<!matter\s)\bwhat(?! (to|kinds?|extent|happen\w*)\b)',
  r'\bwhat(ever|soever)\b',
  # A pronoun instead of a noun.
  r'\bthat of\b',
  rf'\b({_BE}|than|by|with|from) that (in|at|on|for|with|from|by)\b',
  r'\bthose (?=who|that|which|whose|of|in|on|at|by|for|from|with|without|to'
  rf'|not|before|after|above|below|beside|{_BE}|ha[sd]|have|can|must|may|will)',
  r'\bthose(?=[.,;:)])',
  r'\b(all|nothing|anything|everything|something) (that|which)\b',
  r'^(of (?!course|the|these|those|all|\d)|(who|whom) )',
  r'^that (in|on|at|by|with)\b',
  rf'\b({_PREPOSITION}|then|says?|tells?|knows?|shows?|{_BE}|not|nobody)'
  r' (who|whom)\b',
  r'\bwhoever\b',
  r'\b(as|than) of\b',
  r'\b(of|with|by|than|without) which\b',
  # Words for which the field has others: resume, record, reference, hypothesis.
  r'\b(go|goes|going|gone|went) on\b',
  rf'\b{_BE} (told|gone|heard|said)\b',
  r'\b(said|heard)\b',
  # Unusual order.
  r'\b(is|are) there\b',
  rf'(?<!and\s)(?<!or\s)\bso {_BE}\b|^so (do|does|did|has|have|can) ',
  r'^(stopped|called|asked|left|kept|taken|told)\b[^.,;:]{0,40},',
  r'(?<!there\s)\b(is|are|was|were) no (?!longer|more|less|way|need|doubt)',
  r'\banew\b',
)
_FIRST_LINE = (
  r'^(of|to|as|without|with|by|from|for|how|what|which|who|those|than|at|it|not'
  r'|does so)\b'
)
_PRONOUN = r'\b(it|they|them)\b'


def _pattern(source: str) -> re.Pattern[str]:
  return re.compile(source.replace(' ', r'\s+'), re.IGNORECASE)


_ANYWHERE = _pattern('|'.join(_HEADLESS))
_FIRST = _pattern(_FIRST_LINE)
_ALONE = _pattern(_PRONOUN)
_SENTENCE = re.compile(r'[^.!?]+(?:[.!?](?!\s|$)[^.!?]*)*[.!?]*')
_WORD = re.compile(r"[^\W\d_][\w'-]*")


@dataclasses.dataclass(frozen=True)
class Text:
  """A piece of prose and its position.

  Attributes:
    file: File of the text.
    line: First line of the text in the file.
    words: The prose, with the line breaks of the file.
    kind: `docstring`, `help` or `document`.
  """

  file: pathlib.Path
  line: int
  words: str
  kind: str


@dataclasses.dataclass(frozen=True)
class Phrase:
  """A phrase that is hard to read, and its position."""

  file: pathlib.Path
  line: int
  words: str


def phrases(text: Text) -> list[Phrase]:
  """Returns the hard phrases of a text, in order."""
  places = {}
  for paragraph in re.finditer(r'\S.*?(?=\n\s*\n|\Z)', text.words, re.DOTALL):
    for sentence in _SENTENCE.finditer(paragraph[0]):
      start = paragraph.start() + sentence.start()
      words = sentence[0].lstrip('\n -*#|>"(0123456789')
      start += len(sentence[0]) - len(words)
      if words.rstrip().endswith('?'):
        continue
      for hit in _ANYWHERE.finditer(words):
        places[start + hit.start()] = hit[0]
  if text.kind != 'document':
    first = re.split(r'[.;:]\s|\n\s*\n', text.words.strip())[0]
    patterns = (_FIRST, _ALONE) if text.kind == HELP else (_FIRST,)
    for pattern in patterns:
      for hit in pattern.finditer(first):
        place = text.words.index(first) + hit.start()
        places.setdefault(place, hit[0])
  return [
    Phrase(
      text.file,
      text.line + text.words.count('\n', 0, place),
      ' '.join(words.split()),
    )
    for place, words in sorted(places.items())
  ]


def word_count(text: Text) -> int:
  """Returns the number of words of a text; a piece of code counts as one."""
  return len(_WORD.findall(text.words))


def markdown(file: pathlib.Path) -> list[Text]:
  """Returns the paragraphs, list items and table cells of a Markdown file."""
  source = file.read_text(encoding='utf-8')
  source = re.sub(
    r'^ *```.*?^ *```', _blank, source, flags=re.MULTILINE | re.DOTALL
  )
  source = re.sub(r'(?s)(`+)[^`].*?\1', _code, source)
  source = re.sub(r'(?m)^#+ .*', '', source)  # A title may be a question.
  source = re.sub(r'\]\([^()]*\)', ' ', source).replace('[', ' ')
  texts, line = [], 1
  for part in re.split(r'(\n\n+|\||\n(?= *(?:[*-]|\d+\.) ))', source):
    if part.strip() and part != '|':
      texts.append(Text(file, line, part, 'document'))
    line += part.count('\n')
  return texts


def _blank(block: re.Match[str]) -> str:
  return '\n' * block[0].count('\n')


def _code(piece: re.Match[str]) -> str:
  return _CODE + '\n' * piece[0].count('\n')


def docstrings(file: pathlib.Path) -> Iterator[Text]:
  """Yields the docstrings of a Python file."""
  kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
  for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
    if isinstance(node, kinds) and ast.get_docstring(node):
      value = node.body[0].value
      words = re.sub(r'(?s)(`+)[^`].*?\1', _code, value.value)
      words = re.sub(r'--\w+', _CODE, words)
      yield Text(file, value.lineno, words, 'docstring')


def help_texts(file: pathlib.Path) -> Iterator[Text]:
  """Yields the help texts of the flags that a Python file defines."""
  for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
    if not isinstance(node, ast.Call):
      continue
    name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
    if not name.lower().startswith('define_'):
      continue
    given = [k.value for k in node.keywords if k.arg == 'help']
    for argument in given or reversed(node.args):
      words = _constant(argument)
      if words and ' ' in words:
        yield Text(file, argument.lineno, words, HELP)
        break


def _constant(node: ast.expr) -> str:
  """Returns the text of an expression, with `CODE` for its computed parts."""
  if isinstance(node, ast.Constant) and isinstance(node.value, str):
    return node.value
  if isinstance(node, ast.JoinedStr):
    return ''.join(_constant(value) or _CODE for value in node.values)
  if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
    return (_constant(node.left) or _CODE) + (_constant(node.right) or _CODE)
  return ''


def documents(root: pathlib.Path) -> list[str]:
  """Returns the names of the project's documents below `root`."""
  pages = [root / 'README.md', root / 'configs' / 'README.md']
  pages = [page for page in pages if page.exists()]
  pages += sorted(root.glob('docs/*.md'))
  rooms = sorted(p.parent for p in root.glob('tff_asr/*/__init__.py'))
  rooms = [root / 'tff_asr', *rooms, root / 'pipelines', root / 'tools']
  names = [path.relative_to(root).as_posix() for path in pages + rooms]
  return [*names, HELP]


def texts_of(name: str, root: pathlib.Path) -> list[Text]:
  """Returns the texts of a document.

  Args:
    name: A name from `documents`, or another Markdown file or folder of Python
      files.  Tests are excluded.
    root: Folder of the project.
  """
  path = root / name
  if name == HELP:
    files = sorted((root / 'pipelines').rglob('*.py'))
    return [text for file in files for text in help_texts(file)]
  if path.suffix == '.md':
    return markdown(path) if path.exists() else []
  # Each room below `tff_asr` is a separate document.
  own = path == root / 'tff_asr'
  files = sorted(path.glob('*.py') if own else path.rglob('*.py'))
  files = [f for f in files if not f.stem.endswith('_test')]
  return [text for file in files for text in docstrings(file)]


def main(arguments: list[str] | None = None) -> int:
  """Prints the table; returns 1 if a held document fails or is missing."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--list', action='store_true', help='Print each phrase.')
  parser.add_argument('documents', nargs='*', help='By default, all.')
  given = parser.parse_args(arguments)
  root = pathlib.Path.cwd()
  names = given.documents or list(dict.fromkeys([*documents(root), *HELD]))
  failed = 0
  for name in names:
    texts = texts_of(name, root)
    if not texts:
      print(f'{name}: no such document, or no prose in it')
      failed += 1
      continue
    found = [phrase for text in texts for phrase in phrases(text)]
    words = sum(map(word_count, texts))
    rate = 1000 * len(found) / words
    fails = rate > LIMIT and name in HELD
    failed += fails
    held = 'above the limit' if fails else 'held' * (name in HELD)
    print(f'{name:26} {words:7,} words {rate:6.1f} {held}'.rstrip())
    if given.list or fails:
      for phrase in found:
        print(f'  {phrase.file}:{phrase.line}: {phrase.words}')
  if failed:
    print(
      f'Failed: {failed} of {len(names)}. The limit is {LIMIT} hard phrases per'
      ' 1,000 words: rewrite the sentences above.'
    )
  return int(failed > 0)


if __name__ == '__main__':
  sys.exit(main())
