"""Several runs on one page: figures, what differs, curves, joint privacy."""

from collections.abc import Sequence
import os
import pathlib
import textwrap
import urllib.parse

from tff_asr import errors
from tff_asr.privacy import accounting
from tff_asr.programs import joint_account, page, run_record

_NO_SETTINGS = frozenset(['output_dir'])


def write(runs: Sequence[pathlib.Path], output: pathlib.Path) -> str:
  """Writes the page; returns where, and what the runs promise together.

  Args:
    runs: Folders of runs, which may be unfinished.
    output: The page.

  Raises:
    UserError: If a folder is no run, or given twice, or the page has no folder.
  """
  errors.require(
    len(set(runs)) == len(runs), 'A run was given twice: give each once.'
  )
  errors.require(
    output.parent.is_dir() and not output.is_dir(),
    f'{output} cannot be written: its folder is not there, or it is one.',
  )
  records = [run_record.read(path) for path in runs]
  output.write_text(page_of(records, output))
  lines = [f'compared  {output}']
  for text in joint_account.in_words(records, _names(runs)):
    lines += ['', textwrap.fill(text, 80)]
  return '\n'.join(lines)


def page_of(runs: Sequence[run_record.RunRecord], output: pathlib.Path) -> str:
  """Returns the page.

  Args:
    runs: The runs.
    output: Where it is to be, for links to the runs' own pages.
  """
  names = _names([run.paths.path for run in runs])
  privacy = [page.warning(text) for text in joint_account.in_words(runs, names)]
  head = [*privacy, _table(runs, names, output)]
  sections = [
    page.Section('Curves', _curves(runs, names)),
    page.Section('Flags that differ', _differing(runs, names)),
  ]
  return page.document(f'{len(runs)} training runs', head, sections)


def _names(paths: Sequence[pathlib.Path]) -> list[str]:
  """The ends of the paths that tell them apart."""
  length = 1
  while len({path.parts[-length:] for path in paths}) < len(paths):
    length += 1
  return ['/'.join(path.parts[-length:]) for path in paths]


def _table(runs, names, output) -> page.Html:
  finished = [r.summary['wer'] for r in runs if r.is_finished]
  best = next(
    (
      i
      for i, run in enumerate(runs)
      if run.is_finished and run.summary['wer'] == min(finished)
    ),
    None,
  )
  table = page.table(
    (
      *('run', 'WER', '95 % interval', 'seed WER', 'worst tenth', 'epsilon'),
      *('delta', 'rounds', 'cohort', 'noise', 'minutes'),
    ),
    (_row(run, name, output) for run, name in zip(runs, names, strict=True)),
    marked=best,
    wraps=False,
  )
  note = page.paragraph(
    'The lowest WER is marked. It was chosen on the held-out speakers of these'
    ' runs, and is too good by that: where intervals overlap, another choice'
    ' may be as good.'
  )
  return page.joined([table, note] if best is not None else [table])


def _row(run, name, output) -> list[object]:
  summary, plan = run.summary, run.account.plan
  if summary:
    rate = f'{summary["wer"]:.1%}'
  elif run.evaluated:
    last = run.evaluated[-1]
    rate = f'{last["wer"]:.1%} (unfinished, round {last["round"]:.0f})'
  else:
    rate = '- (unfinished)'
  figures = run.account.figures(run.rounds) if run.rounds else {}
  epsilon = figures.get('epsilon', '-')
  if run.paths.report.exists():
    report = os.path.relpath(run.paths.report, output.parent)
    name = page.link(
      name, urllib.parse.quote(pathlib.PurePath(report).as_posix(), safe='/=+')
    )
  interval = summary.get('wer_interval')
  cohort = run.number('cohort_size') if run.rounds else None
  return [
    name,
    rate,
    '{:.1%} to {:.1%}'.format(*interval) if interval else '-',
    '-' if run.seed_wer is None else f'{run.seed_wer:.1%}',
    f'{summary["wer_worst_tenth"]:.1%}' if summary else '-',
    epsilon if isinstance(epsilon, str) else accounting.text(epsilon),
    f'{figures["delta"]:g}' if 'delta' in figures else '-',
    run.rounds,
    '-' if cohort is None else f'{cohort:g}',
    f'{plan.noise_multiplier:.4g}' if plan else '-',
    f'{summary["minutes"]:.1f}' if summary else '-',
  ]


def _curves(runs, names) -> list[page.Html]:
  # Imported, matplotlib looks for fonts: seconds, the first time.
  from tff_asr.programs import run_plots

  plots = []
  for name, column, label, text in (
    ('by-round', 'round', 'round', 'Over the rounds.'),
    ('by-epsilon', 'epsilon', 'epsilon spent', 'Over what each round cost.'),
  ):
    curves = []
    for run, run_name in zip(runs, names, strict=True):
      rows = [row for row in run.evaluated if column in row]
      curves.append(
        run_plots.Curve(
          run_name, [r[column] for r in rows], [r['wer'] for r in rows]
        )
      )
    if any(curve.x for curve in curves):
      svg = run_plots.compared(name, curves, label, column == 'epsilon')
      plots.append(page.plot(svg, f'WER on the held-out speakers. {text}'))
  return [page.plots(plots)] if plots else []


def _differing(runs, names) -> list[page.Html]:
  flags = dict.fromkeys(flag for run in runs for flag in run.flags)
  rows = []
  for flag in sorted(flags.keys() - _NO_SETTINGS):
    values = [run.flags.get(flag, '-') for run in runs]
    if len(set(values)) > 1:
      rows.append((page.element('code', f'--{flag}'), *values))
  if not rows:
    return [page.paragraph('None.')]
  return [page.table(('', *names), rows, wraps=False)]
