import math

import pytest

from tff_asr.learning import evaluation
from tff_asr.privacy import layer_clipping
from tff_asr.privacy import plan as plan_lib
from tff_asr.programs import account, plots, report, run_folder

TRANSCRIPTS = [
  evaluation.Transcript('bob', 'bob-1', 'call <b>anna</b>', 'call anna'),
  evaluation.Transcript('eve', 'eve-1', 'yes', 'yes'),
]
METRICS = """round,wer,cer,norm/a,norm/b,bound/a,epsilon,epsilon_rdp
0,0.6,0.3,,,,,
1,,,0.1,nan,0.1,10.0,11.0
2,0.5,0.25,0.2,0.0,0.2,20.0,nan
"""


def make(population=64, cohort_size=16, noise_multiplier=0.01, **kwargs):
  clipping = layer_clipping.LayerClipping(0.1)
  return plan_lib.PrivacyPlan(
    population=population,
    cohort_size=cohort_size,
    rounds=30,
    delta=1e-9,
    noise_multiplier=noise_multiplier,
    clipping=clipping,
    **kwargs,
  )


PLAN = make()


def account_of(path, plan, rounds):
  """What a run promises whose ledger has that many rounds."""
  if plan is None:
    return account.Account(None, None, None)
  path.mkdir(parents=True, exist_ok=True)
  book = plan.open_ledger(path / 'ledger.jsonl')
  for number in range(1, rounds + 1):
    book.append(number, plan.release(number))
  return account.Account(plan, book, None)


def write(path, plan, rounds=2):
  folder = run_folder.RunFolder(path / 'run', {'note': '<script>'}, {})
  folder.metrics.write_text(METRICS)
  promised = account_of(path, plan, rounds)
  return folder, report.write(folder, promised, rounds, TRANSCRIPTS, 1.5)


def test_the_table_says_what_matters(tmp_path):
  folder, table = write(tmp_path, PLAN)
  for part in ('seed model', '60.0%', 'federated model, 2 rounds', '1.5'):
    assert part in table
  assert str(folder.model) in table and str(folder.report) in table


def test_the_page_is_self_contained_and_escapes_what_it_shows(tmp_path):
  folder, _ = write(tmp_path, PLAN)
  page = folder.report.read_text()
  assert page.count('src="data:image/png;base64,') == 3
  assert 'http' not in page and '<script' not in page
  assert '&lt;b&gt;anna' in page and 'bob-1' in page


def test_a_central_run_has_neither_rounds_nor_epsilon(tmp_path):
  _, table = write(tmp_path, None, rounds=0)
  assert 'central model' in table and 'epsilon' not in table


def test_a_round_that_was_not_measured_is_absent(tmp_path):
  folder, _ = write(tmp_path, PLAN)
  rows = report.read_metrics(folder.metrics)
  assert 'wer' not in rows[1] and rows[2]['wer'] == 0.5
  assert math.isnan(rows[1]['norm/b'])
  assert plots.by_layer([{'round': 0.0}], 'norm/') is None


def test_an_epsilon_that_protects_nobody_is_called_so(tmp_path):
  """And what would protect, always with the word hypothetical."""
  weak = account_of(tmp_path / 'weak', PLAN, 30)
  own, other = weak.statement(30)
  assert own.startswith(f'{PLAN.epsilons(30).best:.4g} by PLD')
  assert 'protects nobody' in own and 'ypothetical' not in own
  assert other.startswith('Hypothetical: ') and 'assumption' in other
  strong = make(10**6, 1_000, 1.0)
  assert strong.epsilons().best < 2
  (own,) = account_of(tmp_path / 'strong', strong, 30).statement(30)
  assert 'nobody' not in own


def test_epsilon_is_that_of_the_ledger(tmp_path):
  """Which counts a round twice that was repeated after a kill."""
  promised = account_of(tmp_path, PLAN, 30)
  promised.ledger.append(30, PLAN.release(30))
  assert promised.figures(30)['epsilon'] == PLAN.epsilons(31).best


@pytest.mark.parametrize(
  'plan',
  [None, make(noise_multiplier=0.0), make(insecure_noise_seed=1)],
)
def test_without_fresh_noise_no_epsilon_is_claimed(tmp_path, plan):
  promised = account_of(tmp_path, plan, 30)
  (statement,) = promised.statement(30)
  assert statement.startswith('none: ')
  assert promised.figures(30) == {'epsilon': 'none'}


def test_the_epsilon_of_ledgers_together(tmp_path):
  for name in 'one', 'two':
    account_of(tmp_path / name, make(10**6, 1_000, 1.0), 15)
  text = account.of_ledgers([tmp_path / 'one', tmp_path / 'two'], 1e-9)
  assert f'{make(10**6, 1_000, 1.0).epsilons(30).best:.4g} by PLD' in text
  assert '30 x PoissonSampledDpEvent' in text
