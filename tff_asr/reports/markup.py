"""Pages of HTML that need nothing else: no network, no script.

What is shown is escaped, unless it is `Html`. The frame of a page and its
style are in `page.html`; elements are made here, because most pages are tables
and plots that code makes, and a template would hold little but loops.
"""

from collections.abc import Iterable, Mapping, Sequence
import html
import pathlib
import string
from typing import NamedTuple

_PAGE = pathlib.Path(__file__).with_name('page.html')


class Html(str):
  """Text that is HTML already."""


class Section(NamedTuple):
  """Part of a page; one without contents is left out."""

  title: str
  parts: Sequence[Html]


def escaped(text: object) -> Html:
  """Text as HTML; what is `Html` stays as it is."""
  return text if isinstance(text, Html) else Html(html.escape(str(text)))


def joined(parts: Iterable[object], between: str = '\n') -> Html:
  """Parts one after the other, escaped where needed."""
  return Html(between.join(map(escaped, parts)))


def element(tag: str, content: object, kind: str = '') -> Html:
  """An element, such as a paragraph; `kind` is its class."""
  attribute = f' class="{html.escape(kind)}"' if kind else ''
  return Html(f'<{tag}{attribute}>{escaped(content)}</{tag}>')


def paragraph(text: object) -> Html:
  """A paragraph."""
  return element('p', text)


def warning(text: object) -> Html:
  """A paragraph that nobody should miss."""
  return element('p', text, 'warning')


def preformatted(text: str) -> Html:
  """Text with its line breaks."""
  return element('pre', text)


def link(text: str, address: str) -> Html:
  """A link."""
  return Html(f'<a href="{html.escape(address)}">{escaped(text)}</a>')


def folded(title: str, content: Html) -> Html:
  """Content that opens at a click."""
  return element(
    'details', joined([element('summary', title), content]), 'folded'
  )


def table(
  header: Sequence[object],
  rows: Iterable[Sequence[object]],
  marked: int | None = None,
  wraps: bool = True,
) -> Html:
  """A table that scrolls within its box.

  Args:
    header: Its columns.
    rows: Its cells.
    marked: Number of the row to mark, if any.
    wraps: Whether what is long may go over several lines.
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
  """Names and what is to be said of each."""
  return element(
    'dl',
    joined(
      part
      for name, text in found.items()
      for part in (element('dt', name), element('dd', text))
    ),
  )


def cards(figures: Iterable[tuple[str, str, str]]) -> Html:
  """Key figures: name, value, and a remark, which may be empty."""
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
  """A plot from `run_plots` with a caption."""
  return element('figure', joined([Html(svg), element('figcaption', caption)]))


def plots(found: Iterable[Html]) -> Html:
  """Plots beside each other where there is room."""
  return element('div', joined(found), 'plots')


def document(
  title: str, head: Sequence[Html], sections: Sequence[Section]
) -> str:
  """Returns a page.

  Args:
    title: Its title.
    head: What comes before the table of contents.
    sections: The rest.
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
