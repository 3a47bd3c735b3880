r"""Trains with every combination of settings and compares the runs.

  ./bazelw run //pipelines:sweep -- --output_dir=runs/noise \
      --flagfile=configs/smoke.flags \
      --grid=noise_multiplier=0.01,0.1 --grid=cohort_size=8,16
  ./bazelw run //pipelines:sweep -- --output_dir=runs/recipes \
      --grid=configs/one.flags,configs/other.flags

All flags of //pipelines:train hold for all runs; flags of the grid have
precedence. --output_dir gets a folder and a log for each run, and compare.html.
The same command again does the runs that are missing.
"""

import sys

from absl import flags
from absl.testing import flagsaver

from pipelines import command_line, flagfiles, page_flags, train
from tff_asr import errors
from tff_asr.commands import sweep

_GRID = flags.DEFINE_multi_string(
  'grid',
  [],
  'Alternatives of one setting, separated by commas: FLAG=VALUE,VALUE or'
  ' FLAGFILE,FLAGFILE. Each run takes one alternative. Given several times, the'
  ' flag makes a run for every combination.',
)
flags.adopt_module_key_flags(train)


def main() -> str:
  """Checks the flags of all runs, then starts one run after the other."""
  errors.require(bool(_GRID.value), 'Give --grid, once or several times.')
  errors.require(
    bool(flags.FLAGS.output_dir), 'Give --output_dir, a folder for the runs.'
  )
  axes = [sweep.axis(text, command_line.path) for text in _GRID.value]
  command = [sys.executable, '-m', train.__name__]
  return sweep.run(
    [_trial(name, arguments) for name, arguments in sweep.combinations(axes)],
    command,
    command_line.path(flags.FLAGS.output_dir),
    page_flags.PRIVATE_DETAILS.value,
  )


def _trial(name: str, arguments: list[str]) -> sweep.Trial:
  """Returns the run of a combination; checks its flags as `train` does."""
  folder = command_line.path(flags.FLAGS.output_dir) / name
  try:
    arguments = list(flagfiles.expanded(arguments, command_line.path('.')))
  except errors.UserError as error:
    raise errors.UserError(
      f'--grid: {error} Give flagfiles, or the values of a flag:'
      ' --grid=FLAG=VALUE,VALUE.'
    ) from error
  with flagsaver.flagsaver():
    try:
      command_line.require_flags_only(
        command_line.parse([name, *arguments, f'--output_dir={folder}'])
      )
      given = [
        flag.serialize()
        for flag in flags.FLAGS.get_key_flags_for_module(train)
        if flag.present
      ]
      values = train.resolved()
      train.config(values)
      in_force = command_line.flags_in_force(values, train)
    except errors.UserError as error:
      raise errors.UserError(f'{name}: {error}') from error
    return sweep.Trial(folder, tuple(given), in_force)


if __name__ == '__main__':
  command_line.run(main, outlives_reader=True)
