"""Builds HTML pages that need no network and no script.

Text is escaped, unless it is `Html`. The frame and the style of a page are in
`page.html`. Elements are built here: most pages consist of tables and plots
from code, so a template would hold little but loops.
"""

from collections.abc import Iterable, Mapping, Sequence
import html
import pathlib
import string
from typing import NamedTuple

_PAGE = pathlib.Path(__file__).with_name('page.html')


class Html(str):
  """Holds text that is already HTML."""


class Section(NamedTuple):
  """Holds a part of a page; `document` omits a section without contents."""

  title: str
  parts: Sequence[Html]


def escaped(text: object) -> Html:
  """Escapes text for HTML; returns `Html` unchanged."""
  return text if isinstance(text, Html) else Html(html.escape(str(text)))


def joined(parts: Iterable[object], between: str = '\n') -> Html:
  """Joins parts in order, escaped where needed."""
  return Html(between.join(map(escaped, parts)))


def element(tag: str, content: object, kind: str = '') -> Html:
  """Returns an element, such as a paragraph; `kind` is its CSS class."""
  attribute = f' class="{html.escape(kind)}"' if kind else ''
  return Html(f'<{tag}{attribute}>{escaped(content)}</{tag}>')


def paragraph(text: object) -> Html:
  """Returns a paragraph."""
  return element('p', text)


def warning(text: object) -> Html:
  """Returns a paragraph that the style highlights as a warning."""
  return element('p', text, 'warning')


def preformatted(text: str) -> Html:
  """Returns text that keeps its line breaks."""
  return element('pre', text)


def link(text: str, address: str) -> Html:
  """Returns a link."""
  return Html(f'<a href="{html.escape(address)}">{escaped(text)}</a>')


def folded(title: str, content: Html) -> Html:
  """Returns content that is hidden until a click on its title."""
  return element(
    'details', joined([element('summary', title), content]), 'folded'
  )


def table(
  header: Sequence[object],
  rows: Iterable[Sequence[object]],
  marked: int | None = None,
  wraps: bool = True,
) -> Html:
  """Returns a table that scrolls within its box.

  Args:
    header: Titles of the columns.
    rows: Cells of each row.
    marked: Index of the row to mark, if any.
    wraps: Whether long cells may wrap over several lines.
  """

  def line(cells, tag, kind=''):
    return element('tr', joined((element(tag, c) for c in cells), ''), kind)

  body = [
    line(row, 'td', 'marked' if number == marked else '')
    for number, row in enumerate(rows)
  ]
  inner = joined([line(header, 'th'), *body])
  kind = 'scroll' if wraps else 'scroll narrow'
  return element('div', element('table', inner), kind)


def facts(found: Mapping[str, object]) -> Html:
  """Returns a list of names and their descriptions."""
  return element(
    'dl',
    joined(
      part
      for name, text in found.items()
      for part in (element('dt', name), element('dd', text))
    ),
  )


def cards(figures: Iterable[tuple[str, str, str]]) -> Html:
  """Returns cards of key figures: name, value and a remark, maybe empty."""
  return element(
    'div',
    joined(
      element(
        'div',
        joined(
          [
            element('div', name, 'name'),
            element('div', value, 'value'),
            element('div', remark, 'remark'),
          ]
        ),
        'card',
      )
      for name, value, remark in figures
    ),
    'cards',
  )


def plot(svg: str, caption: object) -> Html:
  """Returns a plot from `run_plots` with a caption."""
  return element('figure', joined([Html(svg), element('figcaption', caption)]))


def plots(found: Iterable[Html]) -> Html:
  """Places plots side by side where the page is wide enough."""
  return element('div', joined(found), 'plots')


def document(
  title: str, head: Sequence[Html], sections: Sequence[Section]
) -> str:
  """Returns the HTML of a page.

  Args:
    title: Title of the page.
    head: Parts before the table of contents.
    sections: Parts after the table of contents.
  """
  sections = [section for section in sections if section.parts]
  contents = joined(
    (link(s.title, f'#part-{i}') for i, s in enumerate(sections)), ' · '
  )
  body = [
    element('h1', title),
    *head,
    element('nav', contents),
    *(
      Html(
        f'<section id="part-{i}">\n<h2>{escaped(s.title)}</h2>\n'
        f'{joined(s.parts)}\n</section>'
      )
      for i, s in enumerate(sections)
    ),
  ]
  return string.Template(_PAGE.read_text()).substitute(
    title=escaped(title), body='\n'.join(body)
  )
