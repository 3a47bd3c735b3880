"""Measures the time of a round beside other ways to train its cohort."""

from collections.abc import Iterator
import os

from tff_asr.benchmarks import comparison, inputs, subject
from tff_asr.benchmarks.comparison import Row
from tff_asr.programs import execution


def speed(given: inputs.Inputs) -> Iterator[Row]:
  """Yields rows on the time of rounds of a corpus."""
  featured = given.store(inputs.FEATURES)
  all_at_once = given.config().cohort_size
  configs = {
    'loop': given.config(runtime=subject.LOOP),
    'stock loop': given.config(runtime=subject.STOCK_LOOP),
    'round': given.config(),
    'features': given.config(store=featured),
    'private': given.config(private=True),
    'noise': given.config(runtime=subject.NOISE),
    'native': given.config(runtime=execution.NATIVE),
    'all at once': given.config(
      runtime=execution.NATIVE, clients_per_device=all_at_once
    ),
    "TFF's defaults": given.config(
      runtime=execution.NATIVE, clients_per_device=all_at_once, tff_loop=True
    ),
    'native features': given.config(runtime=execution.NATIVE, store=featured),
  }
  programs = {name: inputs.program(c) for name, c in configs.items()}
  with comparison.subjects(programs) as running:
    seconds = comparison.seconds_in_turn(running, comparison.TURNS)

  def row(figure, name, reference, target=''):
    return comparison.ratio_row(seconds, figure, (name, reference), target)

  yield row('a round / the plain loop', 'round', 'loop', '<= 1.10')
  yield row('the same from a store of features', 'features', 'loop')
  yield row('with per-layer DP / without', 'private', 'round', '<= 1.05')
  yield row(
    'its noise / a round with per-layer DP', 'noise', 'private', '<= 0.10'
  )
  yield row("TFF's runtime / a round", 'native', 'round', '>= 2')
  yield row('the same from a store of features', 'native features', 'features')
  yield row(
    "TFF's runtime, all clients at once / a round", 'all at once', 'round'
  )
  yield row("the same with TFF's own loop", "TFF's defaults", 'round', '>= 2')
  yield row("Keras' layers / the plain loop", 'stock loop', 'loop', '>= 1.4')


def devices(given: inputs.Inputs) -> Iterator[Row]:
  """Yields the row of one device against two."""
  programs = {
    name: inputs.program(given.config(devices=names, clients_per_device=1))
    for name, names in (('one', 'cpu:0'), ('two', 'cpu:0,cpu:1'))
  }
  with comparison.subjects(programs) as running:
    seconds = comparison.seconds_in_turn(running, comparison.TURNS)
  yield Row(
    f'one device / two, one client at a time on each, {os.cpu_count()} cores',
    f'{comparison.ratio(seconds["one"], seconds["two"]):.2f}',
  )
