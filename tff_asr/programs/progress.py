"""Shows the progress of the rounds on a terminal."""

from typing import Self

import tqdm

from tff_asr.privacy.accounting import accountants
from tff_asr.programs import program_logic
from tff_asr.runs import columns

# The format of tqdm without times, which depend on the clients of a round.
_WITHOUT_TIME = '{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}'


class Progress:
  """Shows a progress bar on a terminal, and a line for each evaluation.

  The lines appear without a terminal too.  If no times may be shown, the bar is
  drawn once for each round and figure, however long the rounds take.  So a
  record of the terminal shows no times either.
  """

  def __init__(
    self, done: int, rounds: int, cohort_size: float, shows_time: bool
  ):
    """Initializes the bar.

    Args:
      done: Number of rounds that earlier commands did.
      rounds: Total number of rounds.
      cohort_size: Expected number of clients in a round.
      shows_time: Whether times may be shown.
    """
    self._clients = cohort_size
    self._shows_time = shows_time
    self._figures: dict[str, str] = {}
    without = dict(bar_format=_WITHOUT_TIME, mininterval=0.0, miniters=1)
    # `disable=None` hides the bar without a terminal.
    self._bar = tqdm.tqdm(
      initial=done,
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
      metrics: The released metrics of the round.
    """
    bar = self._bar
    if bar.n < number - 1:  # Earlier commands did these rounds.
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
  """Returns the figures of a round for the progress bar, as text."""
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
