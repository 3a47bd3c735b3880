"""Draws plots of runs as SVG, in the text colour of light and dark pages.

A plot is a part of a page.  The name of the plot makes the ids in it unique on
the page. The same figures give the same plot.
"""

from collections.abc import Callable, Mapping, Sequence
import io
import math
import re
from typing import Any, NamedTuple

import numpy as np

from tff_asr.reports import drawing, layer_heat
from tff_asr.runs import columns

Rows = Sequence[Mapping[str, float]]
"""One mapping for each round: `round` and the metrics of that round."""

_WIDTH = 4.8
_HEIGHT = 3.1
_RESOLUTION = 200
_INK = '#010203'  # Placeholder for the colour of the page's text.
_COLOURS = [
  *('#3b82d6', '#e07b39', '#3aa76d', '#c95ba8', '#8a7fd8'),
  *('#b59a2e', '#2ca3a8', '#d9534f', '#7d8590', '#9a6b4f'),
]
_STYLE = {
  **{
    name: _INK
    for name in (
      *('text.color', 'axes.edgecolor', 'axes.labelcolor'),
      *('xtick.color', 'ytick.color'),
    )
  },
  'axes.prop_cycle': f'cycler(color={_COLOURS})',
  'axes.axisbelow': True,
  'axes.facecolor': 'none',
  'axes.grid': True,
  'axes.spines.right': False,
  'axes.spines.top': False,
  'figure.facecolor': 'none',
  'font.size': 9.5,
  'grid.alpha': 0.25,
  'legend.frameon': False,
  'legend.fontsize': 8.5,
  'svg.fonttype': 'none',
}
_GREY = '#808890'
_BAD = '#d9534f'
# Up to this many layers, all names have room; with more, only some.
_NAMED = 60
_BARS = 150


def _drawn(
  name: str,
  description: str,
  draw: Callable[[Any], None],
  height: float = _HEIGHT,
) -> str:
  """Returns the drawing of `draw` as an SVG element."""
  buffer = io.StringIO()
  with drawing.library().rc_context({**_STYLE, 'svg.hashsalt': name}):
    figure = drawing.library().figure.Figure(
      (_WIDTH, height), layout='constrained'
    )
    draw(figure.subplots())
    figure.savefig(
      buffer,
      format='svg',
      dpi=_RESOLUTION,
      metadata=dict.fromkeys(['Creator', 'Date', 'Format', 'Type']),
    )
  svg = buffer.getvalue()
  svg = svg[svg.index('<svg') :].replace(_INK, 'currentColor')
  svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
  referred = set(re.findall(r'#([\w.-]+)', svg))
  svg = re.sub(
    r' id="([^"]+)"', lambda m: m[0] if m[1] in referred else '', svg
  )
  svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1', svg, count=1)
  svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1', svg, count=1)
  label = description.replace('&', '&amp;').replace('"', '&quot;')
  return svg.replace('<svg', f'<svg role="img" aria-label="{label}"', 1)


def _by_round(axes) -> None:
  axes.set_xlabel('round')
  axes.xaxis.set_major_locator(
    drawing.library().ticker.MaxNLocator(6, integer=True)
  )
  low, high = axes.get_xlim()
  if high - low < 1.0:  # There is one round.
    axes.set_xlim(round(low) - 0.5, round(low) + 0.5)


def _percent(axis) -> None:
  axis.set_major_formatter(
    drawing.library().ticker.PercentFormatter(1.0, decimals=0)
  )


def _bars(
  axes,
  places: Sequence[float],
  heights: Sequence[float],
  below: np.ndarray | float = 0.0,
  **kwargs,
) -> None:
  """Draws bars, or an area if the bars would be too thin."""
  heights = np.asarray(heights)
  if len(places) <= _BARS:
    axes.bar(places, heights, bottom=below, width=0.9, **kwargs)
  else:
    axes.fill_between(places, below + heights, below, step='mid', **kwargs)


def _values(rows: Rows, name: str) -> tuple[list[float], list[float]]:
  known = [row for row in rows if name in row]
  return [row[columns.ROUND] for row in known], [row[name] for row in known]


def error_rates(rows: Rows, interval: Sequence[float] | None) -> str:
  """Draws WER and CER by round, and marks the lowest WER.

  Args:
    rows: Metrics of rounds; at least one row has a WER.
    interval: Confidence interval of the last WER, if there is one.
  """

  def draw(axes):
    for name, label in (columns.WER, 'WER'), (columns.CER, 'CER'):
      axes.plot(*_values(rows, name), 'o-', ms=3.5, label=label)
    rounds, rates = _values(rows, columns.WER)
    best = int(np.argmin(rates))
    axes.plot(rounds[best], rates[best], '*', color=_BAD, ms=12, zorder=5)
    axes.annotate(
      f'best: {rates[best]:.1%}\nround {rounds[best]:.0f}',
      (rounds[best], rates[best]),
      (0, 12),
      textcoords='offset points',
      ha='center' if 0.15 < best / len(rates) < 0.8 else 'right',
      fontsize=8.5,
    )
    if interval:
      low, high = interval
      axes.errorbar(
        rounds[-1],
        rates[-1],
        [[max(rates[-1] - low, 0.0)], [max(high - rates[-1], 0.0)]],
        color='C0',
        capsize=4,
        lw=1,
      )
    axes.set_ylabel('error rate')
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)
    _percent(axes.yaxis)
    _by_round(axes)
    axes.legend(loc='best')

  return _drawn('error-rates', 'WER and CER by round', draw)


def epsilon(
  rows: Rows, plan: Sequence[tuple[float, float]], budget: float | None
) -> str:
  """Draws epsilon by round: spent by both accountants, planned, and budget.

  Args:
    rows: Metrics of rounds.
    plan: Numbers of rounds, and the planned epsilon after each.
    budget: Largest epsilon that the run may spend, or `None`.
  """

  def draw(axes):
    axes.plot(*zip(*plan, strict=True), '--', color=_GREY, label='planned')
    for name, label, style in (
      (columns.EPSILON_RDP, 'spent, by RDP', ':'),
      (columns.EPSILON_PLD, 'spent, by PLD', '-'),
    ):
      rounds, values = _values(rows, name)
      if np.any(np.isfinite(values)):
        axes.plot(
          rounds,
          values,
          f'C1{style}',
          marker='o' if len(rounds) == 1 else None,
          label=label,
        )
    if budget:
      axes.axhline(budget, color=_BAD, lw=1, label=f'budget {budget:g}')
    axes.set_ylabel('epsilon')
    axes.set_ylim(bottom=0)
    _by_round(axes)
    axes.legend()

  return _drawn('epsilon', 'Epsilon by round', draw)


def heat_map(
  heat: layer_heat.Heat,
  label: str,
  description: str,
  limits: tuple[float, float] | None = None,
) -> str:
  """Draws a heat map by layer and round.

  Args:
    heat: The figures; a cell without a figure is transparent.
    label: Label of the colour scale.
    description: Alternative text; also the id of the plot.
    limits: Limits of the colour scale; by default the range of the figures.
  """
  count = len(heat.layers)

  def draw(axes):
    first, last = heat.rounds[0], heat.rounds[-1]
    image = axes.imshow(
      heat.values,
      aspect='auto',
      interpolation='nearest',
      extent=(first - 0.5, last + 0.5, count, 0),
      vmin=limits and limits[0],
      vmax=limits and limits[1],
    )
    step = math.ceil(count / _NAMED)
    places = np.arange(0, count, step)
    axes.set_yticks(
      places + 0.5, [heat.layers[i] for i in places], fontsize=6.5
    )
    axes.grid(visible=False)
    axes.tick_params('y', length=0)
    _by_round(axes)
    bar = axes.figure.colorbar(
      image,
      label=label,
      location='top',
      aspect=40,
      pad=0.01,
      extend='both' if limits else 'neither',
      ticks=drawing.library().ticker.MaxNLocator(5),
    )
    bar.ax.grid(visible=False)

  name = re.sub(r'\W+', '-', description)
  return _drawn(name, description, draw, 1.2 + 0.13 * min(count, _NAMED))


def line(name: str, label: str, rows: Rows, column: str) -> str:
  """Draws a curve by round.

  Args:
    name: Name of the plot.
    label: Label of the values.
    rows: Metrics of rounds.
    column: Name of the metric.
  """

  def draw(axes):
    axes.plot(*_values(rows, column))
    axes.set_ylabel(label)
    _by_round(axes)

  return _drawn(name, f'{label} by round', draw)


def clients(
  rows: Rows, took_part: str, failed: str | None, expected: float
) -> str:
  """Draws the numbers of participating and failed clients by round.

  Args:
    rows: Metrics of rounds.
    took_part: Name of the metric of clients that took part.
    failed: Name of the metric of failed clients; `None` if no client failed.
    expected: Expected size of a cohort.
  """

  def draw(axes):
    _bars(axes, *_values(rows, took_part), label='took part')
    if failed:
      _bars(axes, *_values(rows, failed), color=_BAD, label='failed')
    axes.axhline(expected, color=_GREY, ls='--', label='expected')
    axes.set_ylabel('clients')
    axes.margins(y=0.25)
    axes.set_ylim(bottom=0)
    _by_round(axes)
    axes.legend(loc='upper right', ncols=3)

  return _drawn('clients', 'Clients by round', draw)


def seconds(rounds: Sequence[float], parts: Mapping[str, np.ndarray]) -> str:
  """Draws the seconds of each round by activity.

  Args:
    rounds: Numbers of the rounds.
    parts: Seconds of each round by activity, float64 `[rounds]`.
  """

  def draw(axes):
    below = np.zeros(len(rounds))
    for label, values in parts.items():
      _bars(axes, rounds, values, below, label=label)
      below = below + values
    axes.set_ylabel('seconds')
    axes.margins(y=0.25)
    axes.set_ylim(bottom=0)
    _by_round(axes)
    axes.legend(loc='upper right', ncols=3)

  return _drawn('seconds', 'Seconds by round', draw)


def speakers(rates: Sequence[float], median: float, worst: int) -> str:
  """Draws the WER of every speaker, the best first.

  Args:
    rates: WER of each speaker.
    median: WER of the median speaker.
    worst: Number of speakers in the worst tenth.
  """
  ordered = sorted(rates)

  def draw(axes):
    places = np.arange(1, len(ordered) + 1)
    tenth = places > len(ordered) - worst
    _bars(axes, places[~tenth], np.array(ordered)[~tenth])
    _bars(
      axes,
      places[tenth],
      np.array(ordered)[tenth],
      color=_BAD,
      label=f'worst tenth ({worst})',
    )
    axes.axhline(median, color=_GREY, ls='--', label=f'median {median:.1%}')
    axes.set(xlabel='speakers, the best first', ylabel='WER')
    axes.xaxis.set_major_locator(
      drawing.library().ticker.MaxNLocator(integer=True)
    )
    _percent(axes.yaxis)
    axes.grid(visible=False, axis='x')
    axes.legend()

  return _drawn('speakers', 'WER by speaker', draw)


class Curve(NamedTuple):
  """Holds the curve of one of several runs."""

  name: str
  x: Sequence[float]
  y: Sequence[float]


def compared(
  name: str, curves: Sequence[Curve], x_label: str, is_logarithmic: bool
) -> str:
  """Draws the WER of several runs over a common quantity.

  Args:
    name: Name of the plot.
    curves: One for each run; an empty curve still takes its colour.
    x_label: Label of the common quantity.
    is_logarithmic: Whether the axis of this quantity is logarithmic.
  """

  def draw(axes):
    for i, curve in enumerate(curves):
      if curve.x:
        style = ('o-', 's--', '^:')[i // 10 % 3]
        axes.plot(
          curve.x, curve.y, style, color=f'C{i % 10}', ms=3, label=curve.name
        )
    axes.set(xlabel=x_label, ylabel='WER')
    if is_logarithmic:
      axes.set_xscale('log')
    else:
      _by_round(axes)
    axes.set_ylim(bottom=0)
    _percent(axes.yaxis)
    axes.legend(
      loc='upper center', bbox_to_anchor=(0.5, -0.2), fontsize=7.5, ncols=1
    )

  return _drawn(name, f'WER by {x_label}', draw, _HEIGHT + 0.16 * len(curves))
