"""Links of README and docs lead to a heading; paths in them exist."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted(
  path.relative_to(ROOT).as_posix()
  for pattern in ('README.md', 'configs/README.md', 'docs/*.md')
  for path in ROOT.glob(pattern)
)
GLOSSARY = ROOT / 'docs' / 'glossary.md'


def prose(path):
  return re.sub(r'(?ms)^ *```.*?^ *```', '', path.read_text(encoding='utf-8'))


def anchors(text):
  """The anchors that GitHub makes of the headings of a page."""
  headings = re.findall(r'(?m)^#+ (.*)$', text)
  plain = [re.sub(r'[^\w\- ]', '', heading.lower()) for heading in headings]
  return {heading.replace(' ', '-') for heading in plain}


def broken(page, text):
  """The links of a page that lead nowhere."""
  found = []
  for target in re.findall(r'\]\(([^()\s]+)\)', text):
    if re.match(r'[a-z]+:', target):
      continue
    name, _, anchor = target.partition('#')
    path = page.parent / name if name else page
    whole = not name or path.is_file()
    if not whole or (anchor and anchor not in anchors(prose(path))):
      found.append(target)
  return found


def missing(text):
  """The paths of the repository, and the tests, that a page names in vain."""
  found = []
  for path, test in re.findall(
    r'(?<![\w./-])((?:tff_asr|tests|configs|tools|pipelines)/[\w./-]*\w)'
    r'(?:::(\w+))?',
    text,
  ):
    file = ROOT / path
    if not file.exists():
      found.append(path)
    elif test and f'def {test}(' not in file.read_text(encoding='utf-8'):
      found.append(f'{path}::{test}')
  # A test without its folder cannot be run.
  return found + re.findall(r'`((?!tests/)[\w/]*_test\.py)', text)


@pytest.mark.parametrize('page', PAGES)
def test_every_path_of_the_repository_exists(page):
  assert not missing((ROOT / page).read_text(encoding='utf-8'))


@pytest.mark.parametrize(
  'name',
  [
    'tests/pages_test.py::test_nothing',
    'tests/nowhere_test.py',
    'tff_asr/nowhere.py',
    'pages_test.py',
    'configs/small/nowhere.flags',
  ],
)
def test_a_path_in_vain_is_found(name):
  good = 'tests/pages_test.py::test_a_path_in_vain_is_found'
  assert missing(f'`{good}` `tff_asr/text` `{name}`') == [name]


def test_each_claim_of_privacy_has_a_test():
  page = (ROOT / 'docs' / 'privacy.md').read_text(encoding='utf-8')
  table = page.partition('## The test of each claim')[2]
  claims = re.findall(r'(?m)^\| (?!claim |-)(.*) \| (.*) \|$', table)
  assert len(claims) >= 15
  for claim, tests in claims:
    assert all(
      re.fullmatch(r'`tests/[\w/]+_test\.py::test_\w+`', test)
      for test in tests.split(', ')
    ), claim


@pytest.mark.parametrize('page', PAGES)
def test_every_link_leads_somewhere(page):
  # LICENSE is no part of the tests' files under Bazel.
  text = prose(ROOT / page).replace('(LICENSE)', '')
  assert not broken(ROOT / page, text)


@pytest.mark.parametrize(
  'target', ['nowhere.md', 'data.md#nowhere', '#nowhere', '../docs/x.md#y']
)
def test_a_broken_link_is_found(target):
  page = ROOT / 'docs' / 'runs.md'
  assert broken(page, f'[one]({target}) [good](data.md#who-is-a-client)') == [
    target
  ]


def test_the_pages_are_found():
  assert {'README.md', 'configs/README.md', 'docs/glossary.md'} < set(PAGES)


def test_the_glossary_has_each_term_once_in_one_or_two_sentences():
  entries = re.findall(r'(?ms)^\* (\*\*.*?)(?=^\* |^#|\Z)', prose(GLOSSARY))
  terms = re.findall(r'\*\*(.*?)\*\*', ' '.join(entries))
  assert len(entries) >= 25
  assert len(set(terms)) == len(terms)
  for entry in entries:
    sentences = re.split(r'[.:] (?=[A-Z])', ' '.join(entry.split()))
    assert len(sentences) <= 3, entry
