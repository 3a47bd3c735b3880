import math

import pytest

from tff_asr.learning import evaluation
from tff_asr.privacy import plan as plan_lib
from tff_asr.programs import plots, report, run_folder

TRANSCRIPTS = [
  evaluation.Transcript('bob', 'bob-1', 'call <b>anna</b>', 'call anna'),
  evaluation.Transcript('eve', 'eve-1', 'yes', 'yes'),
]
PLAN = plan_lib.PrivacyPlan(64, 16, 0.1, 0.01, 1e-9)
METRICS = """round,wer,cer,norm/a,norm/b,epsilon
0,0.6,0.3,,,
1,,,0.1,nan,10.0
2,0.5,0.25,0.2,0.0,20.0
"""


def write(path, plan, rounds=2):
  folder = run_folder.RunFolder(path / 'run', {'note': '<script>'}, {})
  folder.metrics.write_text(METRICS)
  return folder, report.write(folder, plan, rounds, TRANSCRIPTS, 1.5)


def test_the_table_says_what_matters(tmp_path):
  folder, table = write(tmp_path, PLAN)
  for part in ('seed model', '60.0%', 'federated model, 2 rounds', '1.5'):
    assert part in table
  assert str(folder.model) in table and str(folder.report) in table


def test_the_page_is_self_contained_and_escapes_what_it_shows(tmp_path):
  folder, _ = write(tmp_path, PLAN)
  page = folder.report.read_text()
  assert page.count('src="data:image/png;base64,') == 2
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
  assert plots.layer_norms([{'round': 0.0}]) is None


def test_an_epsilon_that_protects_nobody_is_called_so():
  statement = report.privacy_statement(PLAN, 30)
  assert 'protects nobody' in statement and 'assumption' in statement
  strong = plan_lib.PrivacyPlan(10**6, 1_000, 0.1, 1.0, 1e-9)
  assert strong.epsilon(30) < 2
  assert 'nobody' not in report.privacy_statement(strong, 30)


@pytest.mark.parametrize('plan', [None, plan_lib.PrivacyPlan(9, 3, 1, 0, 0.1)])
def test_without_noise_no_epsilon_is_claimed(plan):
  assert report.privacy_statement(plan, 30).startswith('None')
