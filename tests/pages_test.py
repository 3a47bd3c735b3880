"""Links between README and docs lead to a file and to a heading in it."""

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
