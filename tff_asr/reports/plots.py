"""Draws plots as PNG files: curves, and minutes of audio per client."""

from collections.abc import Sequence
import io
import math
from typing import NamedTuple

import numpy as np

from tff_asr.reports import drawing

_RESOLUTION = 150


class Curve(NamedTuple):
  """Holds the points and the name of a curve.

  An empty name means that the curve belongs to the curve before it.
  """

  name: str
  points: Sequence[tuple[float, float]]


def curves(
  lines: Sequence[Curve], title: str, x_label: str, y_label: str
) -> bytes:
  """Draws curves over a common positive quantity, as PNG.

  Both axes are logarithmic.

  Args:
    lines: The curves. A curve without a name is dotted and has the colour of
      the curve before it.  A point without a positive, finite value is omitted.
    title: Title above the curves.
    x_label: Label of the common quantity.
    y_label: Label of the values.
  """
  figure = drawing.library().figure.Figure((7, 4.5), layout='constrained')
  axes = figure.subplots()
  colour = -1
  for name, points in lines:
    known = [(x, y) for x, y in points if math.isfinite(y) and y > 0]
    colour += bool(name)
    axes.plot(
      [x for x, _ in known],
      [y for _, y in known],
      f'C{colour}{"o-" if name else ":"}',
      ms=3,
      label=name or None,
    )
  axes.set(xlabel=x_label, ylabel=y_label, xscale='log', yscale='log')
  axes.set_title(title, fontsize=9)
  for axis in axes.xaxis, axes.yaxis:
    axis.set_major_formatter(_plain)
    axis.set_minor_formatter(_plain_if_few(axis))
  axes.grid(alpha=0.3, which='both')
  axes.legend(fontsize=8)
  return _png(figure)


def _plain(value: float, position: int | None = None) -> str:
  del position
  return f'{value:,.0f}' if value >= 1_000 else f'{value:g}'


def _plain_if_few(axis):
  """Returns a formatter of ticks between powers of ten.

  The formatter labels ticks only on an axis that spans less than three powers
  of ten.
  """

  def label(value, position=None):
    low, high = axis.get_view_interval()
    digit = round(value / 10.0 ** math.floor(math.log10(value) + 1e-9))
    return _plain(value) if high < 1_000 * low and digit in (2, 5) else ''

  return label


def client_minutes(minutes: np.ndarray) -> bytes:
  """Draws the distribution of audio over clients, as PNG.

  Args:
    minutes: Minutes of audio by client, float64 `[clients]`, all positive.
  """
  figure = drawing.library().figure.Figure((9, 3.6), layout='constrained')
  counts, shares = figure.subplots(1, 2)
  low, high = minutes.min(), minutes.max()
  counts.hist(
    minutes, np.geomspace(low / 1.05, high * 1.05, 25), edgecolor='white'
  )
  for name, value, style in (
    ('median', np.median(minutes), '-'),
    ('mean', minutes.mean(), '--'),
  ):
    counts.axvline(value, color='C1', ls=style, label=f'{name} {value:.2g}')
  counts.set(xscale='log', xlabel='minutes of a client', ylabel='clients')
  steps = (1, 2, 3, 5, 7) if high < 30 * low else (1,)
  counts.xaxis.set_major_locator(
    drawing.library().ticker.LogLocator(subs=steps)
  )
  counts.xaxis.set_major_formatter(
    drawing.library().ticker.StrMethodFormatter('{x:g}')
  )
  counts.xaxis.set_minor_formatter(drawing.library().ticker.NullFormatter())
  counts.legend()
  part = np.concatenate([[0.0], np.cumsum(np.sort(minutes)[::-1])])
  clients = np.linspace(0.0, 1.0, len(part))
  shares.plot(clients, part / part[-1])
  shares.plot([0, 1], [0, 1], color='0.7', lw=1)
  shares.set(
    xlabel='share of clients, most audio first', ylabel='share of audio'
  )
  percent = drawing.library().ticker.PercentFormatter(1.0)
  for axis in shares.xaxis, shares.yaxis:
    axis.set_major_formatter(percent)
  shares.grid(alpha=0.3)
  return _png(figure)


def _png(figure) -> bytes:
  buffer = io.BytesIO()
  figure.savefig(buffer, format='png', dpi=_RESOLUTION)
  return buffer.getvalue()
