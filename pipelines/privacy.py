r"""Computes epsilon of a privacy plan, or the plan for an epsilon.

  ./bazelw run //pipelines:privacy -- --noise_multiplier=1.024 \
      --cohort_size=102400 --population=3475300 --rounds=2006
  ./bazelw run //pipelines:privacy -- --target_epsilon=2
  ./bazelw run //pipelines:privacy -- --target_epsilon=2 --solve_for=population
  ./bazelw run //pipelines:privacy -- --noise_multiplier=0.5,1,2,4 \
      --cohort_size=51200,204800 --plot=epsilon.png
  ./bazelw run //pipelines:privacy -- --ledger=RUN

Nothing is trained. Values that are not given come from the paper's plan with
epsilon 4.5.
"""

import pathlib

from absl import flags

from pipelines import command_line, flag_kinds
from tff_asr import errors
from tff_asr.commands import privacy
from tff_asr.privacy.mechanism import mechanisms
from tff_asr.privacy.sampling import schemes
from tff_asr.runs import accounts

_NOISE_MULTIPLIER = flag_kinds.define_numbers(
  'noise_multiplier',
  [2.048],
  'Standard deviation of the noise on the sum of the updates, divided by the'
  ' clip norm. This flag, --cohort_size, --population and --rounds also take'
  ' lists with commas, and print a table.',
  float,
)
_COHORT_SIZE = flag_kinds.define_numbers(
  'cohort_size',
  [204_800],
  'Number of clients in a round; with --sampling=poisson the expected number.'
  ' Also takes a list with commas.',
  int,
)
_POPULATION = flag_kinds.define_numbers(
  'population',
  [6_950_600],
  'Number of clients that may be sampled. Also takes a list with commas.',
  int,
)
_ROUNDS = flag_kinds.define_numbers(
  'rounds',
  [2_006],
  'Total number of rounds. Also takes a list with commas.',
  int,
)
_DELTA = flags.DEFINE_float('delta', 1e-9, 'Delta of the guarantee.')
_SAMPLING = flags.DEFINE_enum(
  'sampling',
  schemes.DEFAULT,
  list(schemes.SCHEMES),
  f'Sampling scheme of the cohorts. {schemes.in_words()}',
)
_MECHANISM = flags.DEFINE_enum(
  'mechanism',
  mechanisms.DEFAULT,
  list(mechanisms.MECHANISMS),
  f'The mechanism on client updates. {mechanisms.in_words()}',
)
_TARGET_EPSILON = flags.DEFINE_float(
  'target_epsilon', None, 'Epsilon to reach, by a change of --solve_for.'
)
_SOLVE_FOR = flags.DEFINE_enum(
  'solve_for',
  privacy.NOISE_MULTIPLIER,
  privacy.SOLVABLE,
  'Value to find for --target_epsilon: the least noise_multiplier; the least'
  ' cohort_size, with the same noise on the mean; or the least population.',
)
_ACCOUNTING_COHORT_SIZE = flags.DEFINE_integer(
  'accounting_cohort_size',
  None,
  'Cohort of a hypothetical run with the same noise on the mean.',
)
_ACCOUNTING_POPULATION = flags.DEFINE_integer(
  'accounting_population',
  None,
  'Population of the hypothetical run of --accounting_cohort_size: its number'
  ' of clients. Give both flags, or neither.',
)
_PLOT = flag_kinds.define_path(
  'plot',
  '',
  'PNG file for a plot of epsilon, or of the value of --solve_for, over the'
  ' longest list.',
)
_LEDGER = flag_kinds.define_paths(
  'ledger',
  [],
  'Run folders (or their ledger.jsonl), separated by commas, instead of a plan.'
  ' The command computes their epsilon, together if the clients are the same.',
)


def main() -> str:
  """Returns the text of a plan, a table, or the epsilon of ledgers."""
  if _LEDGER.value:
    paths = [pathlib.Path(path) for path in _LEDGER.value]
    return accounts.of_ledgers(paths, _DELTA.value)
  target = _TARGET_EPSILON.value
  errors.require(
    target is None or target > 0.0,
    f'--target_epsilon={target} must be positive.',
  )
  errors.require(
    target is None
    or _SOLVE_FOR.value != privacy.NOISE_MULTIPLIER
    or not flags.FLAGS['noise_multiplier'].present,
    '--target_epsilon solves for the noise: leave out --noise_multiplier, or'
    ' give --solve_for=cohort_size or --solve_for=population.',
  )
  sizes = (_ACCOUNTING_COHORT_SIZE.value, _ACCOUNTING_POPULATION.value)
  errors.require(
    (sizes[0] is None) == (sizes[1] is None),
    '--accounting_cohort_size and --accounting_population need each other: give'
    ' both, or neither.',
  )
  plot = _PLOT.value
  text = privacy.run(
    privacy.GridConfig(
      noise_multiplier=_NOISE_MULTIPLIER.value,
      cohort_size=_COHORT_SIZE.value,
      population=_POPULATION.value,
      rounds=_ROUNDS.value,
      delta=_DELTA.value,
      sampling=_SAMPLING.value,
      mechanism=_MECHANISM.value,
      target_epsilon=target,
      solve_for=_SOLVE_FOR.value,
      hypothetical=None if sizes[0] is None else sizes,
    ),
    pathlib.Path(plot) if plot else None,
  )
  return '\n\n'.join(filter(None, [_defaults(), text]))


def _defaults() -> str:
  """Returns a line on the values that come from the paper's plan."""
  solved = _SOLVE_FOR.value if _TARGET_EPSILON.value is not None else None
  used = [
    f'--{name}={flags.FLAGS[name].value[0]}'
    for name in privacy.AXES
    if not flags.FLAGS[name].present
    and (name != solved or name == privacy.COHORT_SIZE)
  ]
  return f"From the paper's plan: {' '.join(used)}" if used else ''


if __name__ == '__main__':
  command_line.run(main)
