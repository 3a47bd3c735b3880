r"""Writes the page of a run again, or compares several runs on one page.

  ./bazelw run //pipelines:report -- RUN
  ./bazelw run //pipelines:report -- RUN RUN RUN --output=compare.html

The pages hold no names, words or paths. With --private_details, a second page
holds them. The page of an unfinished run shows its rounds so far.
"""

import pathlib

from absl import flags

from pipelines import command_line, flag_kinds, page_flags
from tff_asr import errors
from tff_asr.reports import comparison, run_report

_OUTPUT = flag_kinds.define_path(
  'output',
  'compare.html',
  'Page that compares several runs. The page of a single run is always its'
  ' report.html.',
)
flags.adopt_module_key_flags(page_flags)


def main(runs: list[str]) -> str:
  """Writes the page and returns its place."""
  paths = [command_line.path(run) for run in runs]
  errors.require(
    bool(paths), 'Give the folder of a run, or those of several to compare.'
  )
  if len(paths) == 1:
    errors.require(
      not flags.FLAGS['output'].present,
      '--output is for several runs: the page of one is its report.html.',
    )
    return run_report.again(paths[0], page_flags.PRIVATE_DETAILS.value)
  output = pathlib.Path(_OUTPUT.value)
  return comparison.write(paths, output, page_flags.PRIVATE_DETAILS.value)


if __name__ == '__main__':
  command_line.run(main, takes_arguments=True)
