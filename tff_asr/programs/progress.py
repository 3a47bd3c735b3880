"""How far the rounds are, for who watches a terminal."""

from typing import Self

import tqdm

from tff_asr.privacy.accounting import accountants
from tff_asr.programs import program_logic
from tff_asr.runs import columns

# What tqdm shows less all times: they tell of those who took part.
_WITHOUT_TIME = '{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}'


class Progress:
  """A bar on a terminal, and a line for each evaluation anywhere.

  Where no time may be shown, the bar is drawn once for each round and figure,
  whatever time has passed: what a terminal recorded tells of none either.
  """

  def __init__(self, rounds: int, cohort_size: float, shows_time: bool):
    """Takes the rounds in all and the clients expected in each."""
    self._clients = cohort_size
    self._shows_time = shows_time
    self._figures: dict[str, str] = {}
    without = dict(bar_format=_WITHOUT_TIME, mininterval=0.0, miniters=1)
    # Without a terminal there are only the lines of the evaluations.
    self._bar = tqdm.tqdm(
      total=rounds,
      desc='federated',
      unit='round',
      disable=None,
      **({} if shows_time else without),
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *error) -> None:
    self._bar.close()

  def show(self, number: int, metrics: program_logic.Metrics) -> None:
    """Shows that a round is done.

    Args:
      number: The round.
      metrics: What was released of it.
    """
    bar = self._bar
    if bar.n < number - 1:  # Those of earlier calls took no time of this.
      bar.initial = bar.n = number - 1
    bar.update(number - bar.n)
    self._figures |= _figures(metrics)
    rate = bar.format_dict['rate']
    if rate and self._shows_time:
      self._figures['clients/s'] = f'{rate * self._clients:.3g}'
    bar.set_postfix(self._figures)
    if columns.WER in metrics:
      bar.write(_evaluation_line(number, metrics))


def _figures(metrics: program_logic.Metrics) -> dict[str, str]:
  """What the progress bar shows of a round."""
  shown = {}
  if columns.WER in metrics:
    shown['WER'] = f'{metrics[columns.WER]:.1%}'
  if columns.EPSILON in metrics:
    shown[columns.EPSILON] = accountants.text(metrics[columns.EPSILON])
  return shown


def _evaluation_line(number: int, metrics: program_logic.Metrics) -> str:
  wer, cer = metrics[columns.WER], metrics[columns.CER]
  line = f'round {number:4d}  WER {wer:6.1%}  CER {cer:6.1%}'
  if columns.EPSILON in metrics:
    line += f'  epsilon {accountants.text(metrics[columns.EPSILON])}'
  return line
