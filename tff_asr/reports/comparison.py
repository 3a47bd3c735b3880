"""Writes the page that compares runs: figures, flags, curves, joint privacy.

Like the page of one run, this page has no paths; a second page has them.
"""

from collections.abc import Sequence
import pathlib
import textwrap
import urllib.parse

from tff_asr import durable, errors
from tff_asr.privacy.accounting import accountants
from tff_asr.reports import markup, run_plots
from tff_asr.runs import columns, folders, joint_account
from tff_asr.runs import records as run_record

_NO_SETTINGS = frozenset(['output_dir', 'private_details'])


def write(
  runs: Sequence[pathlib.Path],
  output: pathlib.Path,
  private_details: bool = False,
) -> str:
  """Writes the page; returns its path and the joint guarantee of the runs.

  Args:
    runs: Folders of runs, which may be unfinished.
    output: File of the page.
    private_details: Whether to write a second page, with paths, beside the
      first. If false, the second page of an earlier call is removed.

  Raises:
    UserError: If a folder is not the folder of a run, or is given twice, or if
      the folder of the page does not exist, or the page itself is a folder.
  """
  errors.require(
    len(set(runs)) == len(runs), 'A run was given twice: give each once.'
  )
  errors.require(
    output.parent.is_dir() and not output.is_dir(),
    f'{output} cannot be written: its folder does not exist, or {output.name}'
    ' is a folder.',
  )
  records = [run_record.read(path) for path in runs]
  durable.write_text(output, page_of(records, output))
  lines = [f'compared  {output}']
  private = output.with_stem(f'{output.stem}_private')
  private.unlink(missing_ok=True)
  if private_details:
    durable.write_text(private, page_of(records, output, private_details=True))
    lines.append(f'private   {private}')
  for text in joint_account.in_words(records, _names(runs)):
    lines += ['', textwrap.fill(text, 80)]
  return '\n'.join(lines)


def page_of(
  runs: Sequence[run_record.RunRecord],
  output: pathlib.Path,
  private_details: bool = False,
) -> str:
  """Returns the HTML of the page.

  Args:
    runs: The runs.
    output: File of the page, for links to the pages of runs below its folder.
    private_details: Whether this is the page with paths.
  """
  names = _names([run.paths.path for run in runs])
  privacy = [
    markup.warning(text) for text in joint_account.in_words(runs, names)
  ]
  head = [*privacy, _table(runs, names, output)]
  sections = [
    markup.Section('Curves', _curves(runs, names)),
    markup.Section(
      'Flags that differ', _differing(runs, names, private_details)
    ),
  ]
  return markup.document(f'{len(runs)} training runs', head, sections)


def _names(paths: Sequence[pathlib.Path]) -> list[str]:
  """Returns the shortest ends of the paths that are all different."""
  every = [path.relative_to(path.anchor).parts for path in paths]
  length = 1
  while len({parts[-length:] for parts in every}) < len(every):
    length += 1
  return ['/'.join(parts[-length:]) for parts in every]


def _table(runs, names, output) -> markup.Html:
  finished = [r.summary[columns.WER] for r in runs if r.is_finished]
  best = next(
    (
      i
      for i, run in enumerate(runs)
      if run.is_finished and run.summary[columns.WER] == min(finished)
    ),
    None,
  )
  table = markup.table(
    (
      *('run', 'WER', '95 % interval', 'seed WER', 'worst tenth', 'epsilon'),
      *('delta', 'rounds', 'cohort', 'noise', 'minutes'),
    ),
    (_row(run, name, output) for run, name in zip(runs, names, strict=True)),
    marked=best,
    wraps=False,
  )
  note = markup.paragraph(
    'The lowest WER is marked. It was chosen on the held-out speakers of these'
    ' runs, so it is too optimistic. Where intervals overlap, another run may'
    ' be as good.'
  )
  return markup.joined([table, note] if best is not None else [table])


def _row(run, name, output) -> list[object]:
  summary, plan = run.summary, run.account.plan
  if summary:
    rate = f'{summary[columns.WER]:.1%}'
  elif run.evaluated:
    last = run.evaluated[-1]
    number = f'{last[columns.ROUND]:.0f}'
    rate = f'{last[columns.WER]:.1%} (unfinished, round {number})'
  else:
    rate = '- (unfinished)'
  figures = run.account.figures(run.rounds) if run.rounds else {}
  epsilon = figures.get(columns.EPSILON, '-')
  report = run.paths.report
  # A link to a page outside the folder would show paths.
  if report.exists() and report.is_relative_to(output.parent):
    below = report.relative_to(output.parent).as_posix()
    name = markup.link(name, urllib.parse.quote(below, safe='/=+'))
  interval = summary.get('wer_interval')
  cohort = run.number('cohort_size') if run.rounds else None
  return [
    name,
    rate,
    '{:.1%} to {:.1%}'.format(*interval) if interval else '-',
    '-' if run.seed_wer is None else f'{run.seed_wer:.1%}',
    f'{summary["wer_worst_tenth"]:.1%}' if summary else '-',
    epsilon if isinstance(epsilon, str) else accountants.text(epsilon),
    f'{figures["delta"]:g}' if 'delta' in figures else '-',
    run.rounds,
    '-' if cohort is None else f'{cohort:g}',
    f'{plan.noise_multiplier:.4g}' if plan else '-',
    run.minutes or '-',
  ]


def _curves(runs, names) -> list[markup.Html]:
  plots = []
  for name, column, label, text in (
    ('by-round', columns.ROUND, 'round', 'By round.'),
    (
      'by-epsilon',
      columns.EPSILON,
      'epsilon spent',
      'By the epsilon spent after each round.',
    ),
  ):
    curves = []
    for run, run_name in zip(runs, names, strict=True):
      rows = [row for row in run.evaluated if column in row]
      curves.append(
        run_plots.Curve(
          run_name, [r[column] for r in rows], [r[columns.WER] for r in rows]
        )
      )
    if any(curve.x for curve in curves):
      svg = run_plots.compared(name, curves, label, column == columns.EPSILON)
      plots.append(markup.plot(svg, f'WER on the held-out speakers. {text}'))
  return [markup.plots(plots)] if plots else []


def _differing(runs, names, private_details) -> list[markup.Html]:
  flags = dict.fromkeys(flag for run in runs for flag in run.flags)
  rows = []
  for flag in sorted(flags.keys() - _NO_SETTINGS):
    values = [folders.recorded_flag(run.flags, flag, '-') for run in runs]
    if len(set(values)) > 1:
      if not private_details:
        shown = [
          folders.recorded_flag(run.flags_without_paths, flag, '-')
          for run in runs
        ]
        values = _numbered(values, shown)
      rows.append((markup.element('code', f'--{flag}'), *values))
  if not rows:
    return [markup.paragraph('None.')]
  return [markup.table(('', *names), rows, wraps=False)]


def _numbered(values: Sequence[str], shown: Sequence[str]) -> list[str]:
  """Adds numbers to different values whose shown texts are equal."""
  found: dict[str, dict[str, int]] = {}
  for value, text in zip(values, shown, strict=True):
    numbers = found.setdefault(text, {})
    numbers.setdefault(value, len(numbers) + 1)
  return [
    f'{text} ({found[text][value]})' if len(found[text]) > 1 else text
    for value, text in zip(values, shown, strict=True)
  ]
