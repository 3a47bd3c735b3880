"""Pages of HTML that need nothing else: no network, no script.

What is shown is escaped, unless it is `Html`.
"""

from collections.abc import Iterable, Mapping, Sequence
import html
from typing import NamedTuple


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
  return _PAGE.format(title=escaped(title), style=_STYLE, body='\n'.join(body))


_STYLE = """
  :root { color-scheme: light dark; --line: #8885; --soft: #8882;
    --bad: #c0392b; --quiet: #666; }
  @media (prefers-color-scheme: dark) {
    :root { --bad: #ff8a75; --quiet: #aaa; }
    body { background: #16181c; color: #e6e6e6; }
    a { color: #8ab4f8; }
  }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem;
    margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
  h1 { font-size: 1.6rem; margin: 0 0 0.5rem; }
  h2 { font-size: 1.25rem; margin: 2.2rem 0 0.6rem;
    border-bottom: 1px solid var(--line); }
  h3 { font-size: 1rem; margin: 1.4rem 0 0.3rem; }
  p { max-width: 46rem; }
  nav { color: var(--quiet); margin-top: 1rem; }
  pre { white-space: pre-wrap; font-size: 0.85rem; background: var(--soft);
    padding: 0.7rem; border-radius: 6px; }
  .warning { border-left: 4px solid var(--bad); padding: 0.4rem 0.8rem;
    background: var(--soft); }
  .cards { display: grid; gap: 0.7rem; margin: 1rem 0;
    grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
  .card { border: 1px solid var(--line); border-radius: 8px;
    padding: 0.5rem 0.8rem; }
  .card .name, .card .remark { font-size: 0.8rem; color: var(--quiet); }
  .card .value { font-size: 1.3rem; font-weight: 600; line-height: 1.4;
    white-space: nowrap; }
  dl { display: grid; grid-template-columns: max-content 1fr;
    gap: 0.2rem 1rem; max-width: 46rem; }
  dt { color: var(--quiet); }
  dd { margin: 0; }
  .plots { display: grid; gap: 1rem 2rem; align-items: start;
    grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
  figure { margin: 0.5rem 0; max-width: 34rem; min-width: 0; }
  figure svg { width: 100%; height: auto; display: block; }
  figcaption { font-size: 0.85rem; color: var(--quiet); }
  .scroll { overflow-x: auto; margin: 0.5rem 0 1rem; }
  table { border-collapse: collapse; font-size: 0.9rem;
    font-variant-numeric: tabular-nums; overflow-wrap: normal; }
  th, td { text-align: left; padding: 0.2rem 1rem 0.2rem 0;
    border-bottom: 1px solid var(--line); vertical-align: top; }
  th, code, .narrow td { white-space: nowrap; }
  tr.marked { font-weight: 600; background: var(--soft); }
  b.wrong { color: var(--bad); font-weight: 600; }
  summary { cursor: pointer; }
  @media (max-width: 32rem) {
    table { font-size: 0.8rem; }
    th, td { padding-right: 0.6rem; }
    dl { grid-template-columns: 1fr; gap: 0; }
    dd { margin: 0 0 0.4rem; }
  }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
