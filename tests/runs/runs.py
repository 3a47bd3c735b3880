"""What tests of pages make: folders of runs, without any training."""

import json

from tests import plans
from tff_asr.learning import evaluation
from tff_asr.privacy.mechanism import layer_clipping
from tff_asr.reports import run_report
from tff_asr.runs import accounts, folders

TRANSCRIPTS = [
  evaluation.Transcript('bob', 'bob-1', 'call <b>anna</b>', 'call anna'),
  evaluation.Transcript('bob', 'bob-2', 'play "jazz"', 'play "jazz" now'),
  evaluation.Transcript('eve', 'eve-1', 'yes', 'yes'),
  evaluation.Transcript('eve', 'eve-2', 'no', ''),
]
METRICS = """round,wer,cer,norm/a,norm/b,bound/a,epsilon,epsilon_rdp,epsilon_pld
0,0.6,0.3,,,,,,
1,,,0.1,nan,0.1,10.0,11.0,10.0
2,0.5,0.25,0.2,0.0,0.2,20.0,nan,20.0
"""
OPEN_METRICS = """round,wer,cer,norm/a,norm/b,loss
0,0.6,0.3,,,
1,,,0.1,nan,9.0
2,0.5,0.25,0.2,0.0,8.0
"""


def make_plan(population=64, cohort_size=16, noise_multiplier=0.01, **kwargs):
  """A plan of 30 rounds."""
  clipping = layer_clipping.LayerClipping(0.1)
  return plans.make(
    population=population,
    cohort_size=cohort_size,
    rounds=30,
    delta=1e-9,
    noise_multiplier=noise_multiplier,
    clipping=clipping,
    **kwargs,
  )


PLAN = make_plan()
MINUTES = 987.6  # No other figure is like this one.


def account_of(path, plan, rounds):
  """What a run promises whose ledger has that many rounds."""
  if plan is None:
    return accounts.Account(None, None, None)
  path.mkdir(parents=True, exist_ok=True)
  book = plan.open_ledger(path / 'ledger.jsonl')
  for number in range(1, rounds + 1):
    book.append(number, plan.release(number))
  return accounts.Account(plan, book, None)


def begin(path, plan, rounds=2, metrics=None, store='store', **flags):
  """A run that has done its rounds and is not finished."""
  flags = {'note': '<script>', 'rounds': '30', **flags}
  folder = folders.RunFolder(path, flags, {'train': store})
  if rounds:
    default = METRICS if plan else OPEN_METRICS
    folder.metrics.write_text(metrics or default)
  return folder, account_of(path, plan, rounds)


def finish(
  path,
  plan,
  rounds=2,
  transcripts=TRANSCRIPTS,
  provenance=None,
  private_details=False,
  **kwargs,
):
  """A finished run, and its table."""
  folder, promised = begin(path, plan, rounds, **kwargs)
  table = run_report.write(
    folder,
    promised,
    rounds,
    transcripts,
    MINUTES,
    provenance=provenance,
    private_details=private_details,
  )
  return folder, table


def summary_of(folder):
  return json.loads(folder.summary.read_text())
