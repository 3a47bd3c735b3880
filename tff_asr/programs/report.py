"""What a run came to: a table, `report.html` and `summary.json`."""

import base64
from collections.abc import Sequence
import csv
import html
import json
import pathlib
import textwrap

from tff_asr.learning import error_statistics, evaluation
from tff_asr.programs import account as account_lib
from tff_asr.programs import run_folder as run_folder_lib

_WORST_SHOWN = 10
_BY_LAYER = (
  (
    'norm/',
    'Norm of the aggregate by layer',
    'The mean update that the server steps along, after clipping and noise.',
  ),
  (
    'bound/',
    'Clipping bounds by layer',
    'Where they are after each round; they follow noised counts.',
  ),
)


def write(
  run_folder: run_folder_lib.RunFolder,
  account: account_lib.Account,
  rounds: int,
  transcripts: Sequence[evaluation.Transcript],
  minutes: float,
  seed_rates: evaluation.ErrorRates | None = None,
) -> str:
  """Writes report and summary; returns the result as a table of text.

  Args:
    run_folder: The run.
    account: What it promises.
    rounds: Number of rounds done.
    transcripts: What the final model heard from the held-out speakers.
    minutes: Duration of this call.
    seed_rates: Of the model that the rounds began with, on the same speakers,
      where the metrics of round 0 are those of some of them.
  """
  rows = read_metrics(run_folder.metrics) if rounds else []
  found = error_statistics.statistics(transcripts)
  final = found.total
  figures = dict(
    rounds=rounds,
    wer=final.wer,
    cer=final.cer,
    eval_utterances=final.utterances,
    minutes=round(minutes, 2),
    wer_interval=found.interval,
    wer_median_speaker=found.median_speaker,
    wer_worst_tenth=found.worst_tenth.wer,
    wer_weighted=found.weighted_wer,
  )
  if seed_rates:
    figures |= dict(seed_wer=seed_rates.wer, seed_cer=seed_rates.cer)
  elif rows and rows[0]['round'] == 0 and 'wer' in rows[0]:
    figures |= dict(seed_wer=rows[0]['wer'], seed_cer=rows[0]['cer'])
  if rounds:
    figures |= account.figures(rounds)
  run_folder.summary.write_text(json.dumps(figures, indent=2) + '\n')
  table = _table(run_folder, figures, account)
  run_folder.report.write_text(
    _page(run_folder, table, account, rows, transcripts, found)
  )
  return table


def read_metrics(path: pathlib.Path) -> list[dict[str, float]]:
  """Reads `metrics.csv`; what was not measured in a round is absent."""
  with open(path, newline='') as file:
    return [
      {name: float(value) for name, value in row.items() if value}
      for row in csv.DictReader(file)
    ]


def last_round(path: pathlib.Path) -> int:
  """Last round in `metrics.csv`, -1 if there is none."""
  rows = read_metrics(path) if path.exists() else []
  return max((int(row['round']) for row in rows), default=-1)


def _table(run_folder, figures, account) -> str:
  lines = [f'{"":34}{"WER":>9}{"CER":>9}']

  def rates(name, wer, cer):
    lines.append(f'{name:34}{wer:9.1%}{cer:9.1%}')

  if figures['rounds']:
    if 'seed_wer' in figures:
      rates('seed model', figures['seed_wer'], figures['seed_cer'])
    name = f'federated model, {figures["rounds"]} rounds'
    rates(name, figures['wer'], figures['cer'])
  else:
    rates('central model', figures['wer'], figures['cer'])
  lines += ['']
  if figures['rounds']:
    label = 'epsilon'
    for paragraph in account.statement(figures['rounds']):
      lines += textwrap.wrap(
        f'{label:10}{paragraph}', 80, subsequent_indent=' ' * 10
      )
      label = ''
  lines += [
    f'minutes   {figures["minutes"]:.1f}',
    f'model     {run_folder.model}',
  ]
  if figures['rounds']:
    lines += [f'metrics   {run_folder.metrics}']
  lines += [f'report    {run_folder.report}']
  return '\n'.join(lines)


def _page(run_folder, table, account, rows, transcripts, found) -> str:
  # Imported, matplotlib looks for fonts: seconds, the first time, and a note on
  # standard error, of which a call that ends in an error needs neither.
  from tff_asr.programs import plots

  sections = [f'<pre>{html.escape(table)}</pre>']
  if account.is_unprotected:
    sections.insert(
      0, f'<p><strong>{html.escape(account_lib.UNPROTECTED_NOTE)}</strong></p>'
    )
  if rows:
    sections += [
      '<h2>Error rates and epsilon by round</h2>',
      _image(plots.error_rates(rows), 'WER, CER and epsilon by round'),
    ]
    for prefix, title, text in _BY_LAYER:
      image = plots.by_layer(rows, prefix)
      if image:
        sections += [f'<h2>{title}</h2>', f'<p>{text}</p>']
        sections += [_image(image, f'{title}, by round')]
  if account.plan:
    sections += [
      '<h2>Privacy plan</h2>',
      f'<pre>{html.escape(str(account.plan))}</pre>',
    ]
  sections += [
    '<h2>Held-out speakers</h2>',
    _preformatted(error_statistics.in_words(found)),
    _groups(found),
    _clients(transcripts),
    f'<h2>The {_WORST_SHOWN} worst utterances</h2>',
    _worst(transcripts),
    '<h2>Flags</h2>',
    f'<pre>{html.escape((run_folder.path / "flags.txt").read_text())}</pre>',
  ]
  return _PAGE.format(
    title=html.escape(f'Training run {run_folder.path.name}'),
    body='\n'.join(sections),
  )


def _image(png: bytes, description: str) -> str:
  data = base64.b64encode(png).decode()
  return f'<img alt="{description}" src="data:image/png;base64,{data}">'


def _preformatted(lines) -> str:
  text = '\n'.join(lines)
  return f'<pre>{html.escape(text)}</pre>'


def _groups(found: error_statistics.ErrorStatistics) -> str:
  groups = {
    'all': found.total,
    f'the worst tenth of the speakers ({found.worst_speakers})': (
      found.worst_tenth
    ),
    **{f'utterances of {n} words': r for n, r in found.by_length.items()},
  }
  return _html_table(
    ('', 'utterances', 'words', 'WER', 'CER'),
    (
      (name, r.utterances, r.words, f'{r.wer:.1%}', f'{r.cer:.1%}')
      for name, r in groups.items()
    ),
  )


def _clients(transcripts) -> str:
  return _html_table(
    ('speaker', 'utterances', 'words', 'WER', 'CER'),
    (
      (client, r.utterances, r.words, f'{r.wer:.1%}', f'{r.cer:.1%}')
      for client, r in evaluation.by_client(transcripts).items()
    ),
  )


def _worst(transcripts) -> str:
  worst = sorted(transcripts, key=lambda t: -t.wer)[:_WORST_SHOWN]
  return _html_table(
    ('utterance', 'WER', 'said', 'heard'),
    (
      (t.utterance_id, f'{t.wer:.0%}', t.reference, t.hypothesis) for t in worst
    ),
  )


def _html_table(header, rows) -> str:
  def line(cells, tag):
    inner = ''.join(f'<{tag}>{html.escape(str(c))}</{tag}>' for c in cells)
    return f'<tr>{inner}</tr>'

  body = ''.join(line(row, 'td') for row in rows)
  return f'<div class="scroll"><table>{line(header, "th")}{body}</table></div>'


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem;
         margin: 2rem auto; padding: 0 1rem; }}
  pre {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
  img {{ max-width: 100%; background: white; border-radius: 4px; }}
  .scroll {{ overflow-x: auto; margin-bottom: 1rem; }}
  table {{ border-collapse: collapse; }}
  th, td {{ text-align: left; padding: 0.2rem 1rem 0.2rem 0;
           border-bottom: 1px solid #8884; vertical-align: top; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""
