"""Builds the page of one run from the files in its folder.

The page may be published with the model. It therefore has no names, no words
and no paths, and only figures over all speakers.  A second page, for the maker
of the run, also has the names, words and paths.
"""

import math

import numpy as np

from tff_asr import counts
from tff_asr.learning import error_statistics, evaluation
from tff_asr.privacy.accounting import accountants
from tff_asr.reports import layer_heat, markup, run_plots, speaker_details
from tff_asr.runs import columns, records

# Prefixes of the names and of the captions of figures on clients.
_CLIENT_FIGURES = (('', ''), (columns.UNPROTECTED, 'UNPROTECTED: '))
_DELTAS = tuple(10.0**-power for power in range(5, 13))
_PLAN_POINTS = 8
_PRIVATE = (
  'Private: this page has the names and words of speakers, and paths of this'
  ' machine. Keep it as securely as the recordings. Share only the other page,'
  ' which has no names, words or paths.'
)


def page_of(run: records.RunRecord, private_details: bool = False) -> str:
  """Returns the HTML of the page; omits parts without figures.

  Args:
    run: The run.
    private_details: Whether this is the page with names, words and paths.
  """
  found = None
  if run.transcripts:
    found = error_statistics.statistics(run.transcripts)
  head = [markup.warning(text) for text in run.account.warnings]
  if private_details:
    head.insert(0, markup.warning(_PRIVATE))
  if not run.is_finished:
    head.append(markup.warning(_unfinished(run)))
  head.append(markup.cards(_figures(run)))
  head += _in_a_sentence(run)
  sections = [
    markup.Section('Privacy', _privacy(run)),
    markup.Section('Error rates by round', _error_rates(run, found)),
    markup.Section('Held-out speakers', _speakers(run, found, private_details)),
    *(speaker_details.sections(run.transcripts) if private_details else ()),
    markup.Section('Layers', _layers(run)),
    markup.Section('Clients and time', _clients_and_time(run)),
    markup.Section('Flags', [_flags(run, private_details)]),
  ]
  title = f'Training run {run.name}{", private details" * private_details}'
  return markup.document(title, head, sections)


def _unfinished(run: records.RunRecord) -> str:
  return (
    f'Not finished: {run.rounds} of {counts.text(run.planned_rounds, "round")}'
    ' so far. To resume the run, call train with the flags in its flags.txt.'
  )


def _figures(run: records.RunRecord) -> list[tuple[str, str, str]]:
  summary = run.summary
  cards = []
  if summary:
    interval = summary.get('wer_interval')
    remark = '{:.1%} to {:.1%}, 95 %'.format(*interval) if interval else ''
    cards.append(('WER', f'{summary[columns.WER]:.1%}', remark))
  elif run.evaluated:
    last = run.evaluated[-1]
    number = f'round {last[columns.ROUND]:.0f}'
    cards.append(('WER', f'{last[columns.WER]:.1%}', number))
  if run.seed_wer is not None:
    cards.append(('WER of the seed', f'{run.seed_wer:.1%}', ''))
  if run.rounds:
    figures = run.account.figures(run.rounds)
    epsilon = figures[columns.EPSILON]
    cards.append(
      ('Epsilon', epsilon, 'no privacy guarantee')
      if epsilon == 'none'
      else (
        'Epsilon',
        accountants.text(epsilon),
        f'at delta {figures["delta"]:g}'
        + ', earlier runs included' * run.account.ledger.has_priors,
      )
    )
    of = run.planned_rounds
    cards.append(('Rounds', str(run.rounds), f'of {of}' if of else ''))
  if run.minutes:
    cards.append(('Minutes', run.minutes, 'of the last call'))
  return cards


def _in_a_sentence(run: records.RunRecord) -> list[markup.Html]:
  """States the guarantee beside the error rate."""
  account, summary = run.account, run.summary
  if not (account.plan and run.rounds and summary) or account.warnings:
    return []  # The warnings say for whom the guarantee does not hold.
  figures = account.figures(run.rounds)
  if figures[columns.EPSILON] == 'none':
    return []
  epsilon = accountants.text(figures[columns.EPSILON])
  guarantee = f'epsilon {epsilon} at delta {figures["delta"]:g}'
  guarantee += ', earlier runs included' * account.ledger.has_priors
  if account.protects:
    text = (
      f'Each of the {account.plan.population:,} clients, with all of their'
      f' recordings, is protected with {guarantee}.'
    )
  else:
    text = f'No client is protected by {guarantee}.'
  if run.seed_wer is not None:
    text += (
      ' The error rate of words (WER) on the held-out speakers is'
      f' {summary[columns.WER]:.1%}, beside {run.seed_wer:.1%} before the'
      ' rounds. The same run without noise would show the price of the'
      ' protection.'
    )
  return [markup.paragraph(text)]


def _privacy(run: records.RunRecord) -> list[markup.Html]:
  account, plan = run.account, run.account.plan
  if not run.rounds:
    return []
  first, *others = account.statement(run.rounds)
  parts = [markup.paragraph(f'Epsilon: {first}')]
  parts += [
    markup.paragraph(text)
    for text in others
    if text not in account.warnings  # The head of the page shows them.
  ]
  if plan:
    title, words = account.plan_in_words()
    parts += [markup.element('h3', title), markup.facts(words)]
  if plan and plan.is_guarantee and account.ledger.releases():
    parts.append(markup.plots([_epsilon(run), _deltas(run)]))
  return parts


def _epsilon(run: records.RunRecord) -> markup.Html:
  plan = run.account.plan
  rounds = sorted(
    {
      math.ceil(plan.rounds * i / _PLAN_POINTS)
      for i in range(1, _PLAN_POINTS + 1)
    }
    | {1}
  )
  planned = [(float(n), run.account.planned(n).best) for n in rounds]
  caption = (
    'Epsilon by round, from the ledger, by both accountants; the smaller'
    ' bound is reported. Dashed: the plan.'
  )
  if run.account.ledger.has_priors:
    caption += (
      ' Earlier runs on the same clients are included; the plan includes them'
      ' from the first round.'
    )
  spent = [row for row in run.rows if columns.EPSILON in row]
  return markup.plot(run_plots.epsilon(spent, planned, run.budget), caption)


def _deltas(run: records.RunRecord) -> markup.Html:
  plan, ledger = run.account.plan, run.account.ledger
  deltas = {d for d in _DELTAS if d * plan.population < 1.0} | {plan.delta}
  ordered = sorted(deltas, reverse=True)
  found = [(delta, ledger.epsilons(delta)) for delta in ordered]

  def text(value):
    return '-' if value is None else accountants.text(value)

  table = markup.table(
    ('delta', 'epsilon by PLD', 'by RDP'),
    ((f'{d:g}', text(e.pld), text(e.rdp)) for d, e in found),
    marked=ordered.index(plan.delta),
  )
  note = markup.paragraph(
    'Epsilon of all releases in the ledger, at several deltas. The delta of the'
    ' run is marked. All rows hold at once.'
  )
  return markup.element('div', markup.joined([note, table]))


def _error_rates(
  run: records.RunRecord, found: error_statistics.ErrorStatistics | None
) -> list[markup.Html]:
  if not run.evaluated:
    return []
  best = min(run.evaluated, key=lambda row: row[columns.WER])
  count = int(run.number('evaluate_clients') or 0)
  caption = (
    f'On {count or "the"} held-out speakers{", always the same" * bool(count)}.'
    f' The star marks the lowest WER, {best[columns.WER]:.1%} after round'
    f' {best[columns.ROUND]:.0f}. This round was chosen on these speakers, so'
    ' report its error rate on other speakers.'
  )
  interval = found.interval if found else None
  if interval:
    caption += (
      ' The bar at the end is the 95 % confidence interval, over speakers.'
    )
  plots = [markup.plot(run_plots.error_rates(run.rows, interval), caption)]
  loss, unprotected_loss = columns.both(columns.LOSS)
  for name, text in (
    (columns.EVAL_LOSS, 'Loss on the held-out speakers.'),
    (loss, 'Training loss on the clients.'),
    (unprotected_loss, 'UNPROTECTED: training loss on the clients.'),
  ):
    if any(name in row for row in run.rows):
      svg = run_plots.line(name.replace('/', '-'), 'loss', run.rows, name)
      plots.append(markup.plot(svg, text))
  return [markup.plots(plots)]


def _speakers(
  run: records.RunRecord,
  found: error_statistics.ErrorStatistics | None,
  private_details: bool,
) -> list[markup.Html]:
  if found is None:
    return []
  by_client = evaluation.by_client(run.transcripts)
  groups = {
    'all': found.total,
    f'worst tenth of the speakers ({found.worst_speakers})': (
      found.worst_tenth
    ),
    **{f'utterances of {n} words': r for n, r in found.by_length.items()},
  }
  svg = run_plots.speakers(
    [rates.wer for rates in by_client.values()],
    found.median_speaker,
    found.worst_speakers,
  )
  elsewhere = []
  if not private_details:
    elsewhere = [
      markup.paragraph(
        'A second page, for the maker of the run, has the names of the'
        ' speakers and their words. It is written only if private details are'
        ' requested.'
      )
    ]
  return [
    markup.preformatted('\n'.join(error_statistics.in_words(found))),
    markup.plots(
      [
        markup.plot(
          svg, 'WER by speaker: are some speakers served worse than the rest?'
        ),
        speaker_details.rates('', groups),
      ]
    ),
    *elsewhere,
  ]


def _layers(run: records.RunRecord) -> list[markup.Html]:
  norms = layer_heat.of_metrics(run.rows, columns.NORM)
  plan = run.account.plan
  if norms is None:
    return []
  plots = _logarithms(
    norms,
    'Norm of the aggregate',
    'L2 norm of the mean update that the server optimizer receives'
    + (', after clipping and noise.' if plan else '.'),
  )
  words = []
  if plan and plan.noise_multiplier and set(norms.layers) <= set(run.layers):
    noises = layer_heat.noise(plan, run.layers, run.rows, norms)
    plots.append(_signal_to_noise(run, norms, noises))
    share = layer_heat.share_of_noise(norms, noises)
    if np.any(np.isfinite(share)):
      words.append(
        markup.paragraph(
          f'In the median round, {np.nanmedian(share):.1%} of the energy of the'
          ' aggregate is noise, over all layers.'
        )
      )
  plots += _logarithms(
    layer_heat.of_metrics(run.rows, columns.BOUND),
    'Clipping bound',
    'Clipping bounds after each round; they adapt to noised counts.',
  )
  for prefix, note in _CLIENT_FIGURES:
    plots += _logarithms(
      layer_heat.of_metrics(run.rows, prefix + columns.CLIENT_NORM),
      'Mean norm of an update',
      f'{note}norms of updates before clipping, averaged over clients.',
    )
  return [*words, markup.plots(plots)]


def _logarithms(
  found: layer_heat.Heat | None, title: str, caption: str
) -> list[markup.Html]:
  """Returns the heat map of some figures, or no plot without figures."""
  if found is None:
    return []
  svg = run_plots.heat_map(
    layer_heat.logarithms(found),
    f'{title}, log10',
    f'{title} by layer and round',
  )
  return [markup.plot(svg, caption)]


def _signal_to_noise(
  run: records.RunRecord, norms: layer_heat.Heat, noises: layer_heat.Heat
) -> markup.Html:
  svg = run_plots.heat_map(
    layer_heat.signal_to_noise(norms, noises, run.layers),
    'signal to noise, dB',
    'Signal to noise by layer and round',
    limits=(-20.0, 20.0),
  )
  caption = (
    'Energy of the signal divided by the energy of the noise, in decibels: at'
    ' 0 dB they are equal. The plan gives the energy of the noise; the excess'
    ' in the aggregate estimates the energy of the signal. Empty: the signal is'
    ' too weak to distinguish from noise. The plot is computed from released'
    ' figures and costs no privacy.'
  )
  return markup.plot(svg, caption)


def _clients_and_time(run: records.RunRecord) -> list[markup.Html]:
  plots = []
  for prefix, note in _CLIENT_FIGURES:
    clients, failed = prefix + columns.CLIENTS, prefix + columns.FAILED
    rows = [row for row in run.rows if clients in row]
    if rows:
      plan = run.account.plan
      expected = plan.expected_cohort if plan else run.number('cohort_size')
      count = sum(row.get(failed, 0.0) for row in rows)
      svg = run_plots.clients(
        rows, clients, failed if count > 0 else None, expected or 0.0
      )
      caption = (
        f'{note}clients that took part in each round; {count:.0f} failed in'
        ' total.'
      )
      plots.append(markup.plot(svg, caption))
  return [markup.plots([*plots, *_time(run)])] if plots or _time(run) else []


def _time(run: records.RunRecord) -> list[markup.Html]:
  names = {
    'training': columns.both(columns.TRAINING),
    'saving': columns.both(columns.SAVING),
    'evaluation': columns.both(columns.EVALUATING),
  }
  parts = {
    label: np.array(
      [sum(row.get(name, 0.0) for name in either) for row in run.rows]
    )
    for label, either in names.items()
    if any(name in row for name in either for row in run.rows)
  }
  if not parts:
    return []
  svg = run_plots.seconds([row[columns.ROUND] for row in run.rows], parts)
  total = ', '.join(
    f'{label} {values.sum() / 60:.1f}' for label, values in parts.items()
  )
  caption = f'Seconds of each round by activity. Total in minutes: {total}.'
  return [markup.plot(svg, caption)]


def _flags(run: records.RunRecord, private_details: bool) -> markup.Html:
  flags = run.flags if private_details else run.flags_without_paths
  lines = [f'--{name}={value}' for name, value in flags.items()]
  note = f'as in {run.paths.flags.name}' if private_details else 'without paths'
  return markup.folded(
    f'All {len(lines)} flags in force, {note}',
    markup.preformatted('\n'.join(lines)),
  )
