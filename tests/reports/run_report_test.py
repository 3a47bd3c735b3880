"""The page of a run has what its folder has, and nothing is run in it."""

import re

import pytest

from tests.runs import runs
from tff_asr import errors
from tff_asr.reports import markup, run_page, run_report
from tff_asr.runs import accounts, metrics_file, records


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'run'


def page_text(folder):
  return folder.report.read_text()


def epsilon_of_card(folder):
  """Epsilon as the card of the page has it, from the ledger."""
  found = re.search(r'Epsilon</\w+>\s*<\w+[^>]*>([\d.e+]+)<', page_text(folder))
  return found[1]


def headings(text):
  return re.findall('<h2>(.*?)</h2>', text)


def test_the_table_says_what_matters(path):
  folder, table = runs.finish(path, runs.PLAN)
  for part in ('seed model', '60.0%', 'federated model, 2 rounds'):
    assert part in table
  assert str(folder.model) in table and str(folder.report) in table


def test_a_sentence_says_who_is_protected_and_by_how_much(path):
  plan = runs.make_plan(10**6, 1_000, 1.0)
  folder, _ = runs.finish(path, plan)
  text = page_text(folder)
  epsilon = epsilon_of_card(folder)
  assert f'Each of the {plan.population:,} clients, with all of their' in text
  assert f'epsilon {epsilon} at delta {plan.delta:g}.' in text
  assert 'beside 60.0% before the rounds' in text


@pytest.mark.parametrize('plan', [None, runs.PLAN.with_noise(0.0), runs.PLAN])
def test_without_a_guarantee_nobody_is_said_to_be_protected(path, plan):
  folder, _ = runs.finish(path, plan)
  text = page_text(folder)
  assert 'is protected with' not in text
  assert ('No client is protected by epsilon' in text) == (plan is runs.PLAN)


def test_figures_without_noise_protect_nobody_on_the_page(path):
  plan = runs.make_plan(10**6, 1_000, 1.0, unprotected_metrics=True)
  folder, _ = runs.finish(path, plan)
  text = page_text(folder)
  assert 'UNPROTECTED' in text and 'is protected with' not in text


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(path):
  folder, _ = runs.finish(
    path, runs.PLAN, private_details=True, evil='"><img src=x>'
  )
  public, private = page_text(folder), folder.private_report.read_text()
  for text in public, private:
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert all(a.startswith(('#', 'data:')) for a in addresses), addresses
    assert 'url(http' not in text and '@import' not in text
    assert '<script' not in text and '<img src=x' not in text
  assert '&lt;b&gt;anna' in private and 'bob-1' in private
  before = ['Privacy', 'Error rates by round', 'Held-out speakers']
  by_name = ['Speakers by name', 'Transcripts']
  assert headings(public) == [*before, 'Layers', 'Flags']
  assert headings(private) == [*before, *by_name, 'Layers', 'Flags']


def test_every_plot_says_what_it_is_and_ids_are_unique(path):
  folder, _ = runs.finish(path, runs.PLAN)
  text = page_text(folder)
  assert text.count('<svg') == text.count('role="img" aria-label="') >= 4
  ids = re.findall(r' id="([^"]*)"', text)
  assert len(ids) == len(set(ids))
  assert 'currentColor' in text


def test_the_page_is_made_again_from_the_folder(path):
  folder, _ = runs.finish(path, runs.PLAN)
  before = page_text(folder)
  folder.report.unlink()
  assert str(folder.report) in run_report.again(path)
  assert page_text(folder) == before
  assert not folder.private_report.exists()


def test_the_private_page_is_there_if_the_last_call_asked_for_it(path):
  folder, table = runs.finish(path, runs.PLAN, private_details=True)
  public, private = page_text(folder), folder.private_report.read_text()
  assert str(folder.private_report) in table
  assert str(folder.private_report) not in run_report.again(path)
  assert not folder.private_report.exists()
  assert str(folder.private_report) in run_report.again(
    path, private_details=True
  )
  assert folder.private_report.read_text() == private
  assert page_text(folder) == public


@pytest.mark.parametrize('plan', [runs.PLAN, None])
def test_a_run_that_is_not_finished_has_a_page(path, plan):
  metrics = None
  if plan is None:
    metrics = 'round,wer,cer,norm/a,loss,clients,failed\n0,0.6,0.3,,,,\n' + (
      '1,0.5,0.2,0.1,9,4,1\n'
    )
  folder, _ = runs.begin(path, plan, metrics=metrics)
  run_report.again(path)
  text = page_text(folder)
  assert 'Not finished' in text and '50.0%' in text
  assert 'Transcripts' not in headings(text)
  assert ('Clients and time' in headings(text)) == (plan is None)
  assert not folder.model_card.exists()


def test_the_figures_of_an_earlier_call_are_not_those_of_a_later_one(path):
  folder, _ = runs.finish(path, runs.PLAN)
  more = folder.metrics.read_text() + '3,0.4,0.2,0.1,0.1,0.1,30.0,31.0,30.0\n'
  folder.metrics.write_text(more)
  runs.PLAN.open_ledger(folder.ledger).append(3, runs.PLAN.release(3))
  run = records.read(path)
  assert not run.is_finished and not run.transcripts and run.rounds == 3


def test_a_page_has_only_what_was_measured(path):
  """Also a run that was killed before it did anything."""
  folder, _ = runs.begin(path, None, rounds=0)
  run_report.again(path)
  assert headings(page_text(folder)) == ['Flags']
  folder.metrics.write_text('round,seconds/save,norm/a\n1,0.5,nan\n')
  run_report.again(path)
  assert headings(page_text(folder)) == [
    *('Privacy', 'Layers', 'Clients and time', 'Flags')
  ]


@pytest.mark.parametrize(
  ('file', 'content', 'message'),
  [
    ('flags.txt', None, 'no run in'),
    ('metrics.csv', 'round,wer\n1,x\n', 'damaged'),
    ('summary.json', '{', 'not as it was written'),
    ('summary.json', None, 'missing'),
    ('transcripts.tsv', 'a\tb\n', 'not as it was written'),
    ('transcripts.tsv', None, 'missing'),
    ('stores.json', None, 'missing'),
    ('ledger.jsonl', None, 'no privacy ledger'),
    ('ledger.jsonl', '{}\n', 'Line 1'),
  ],
)
def test_what_is_missing_or_damaged_is_named(path, file, content, message):
  runs.finish(path, runs.PLAN)
  if content is None:
    (path / file).unlink()
  else:
    (path / file).write_text(content)
  with pytest.raises(errors.UserError, match=message) as caught:
    run_report.again(path)
  assert '\n' not in str(caught.value)


def test_a_central_run_has_neither_rounds_nor_epsilon(path):
  folder, table = runs.finish(path, None, rounds=0)
  assert 'central model' in table and 'epsilon' not in table
  assert 'Privacy' not in headings(page_text(folder))


def test_a_round_that_was_not_measured_is_absent(path):
  folder, _ = runs.begin(path, runs.PLAN)
  rows = metrics_file.read(folder.metrics)
  assert 'wer' not in rows[1] and rows[2]['wer'] == 0.5


def test_unprotected_figures_are_called_so_at_the_head_of_the_page(path):
  plan = runs.make_plan(unprotected_metrics=True)
  metrics = 'round,unprotected/clients,unprotected/failed,epsilon\n1,4,0,9.0\n'
  folder, _ = runs.finish(path, plan, rounds=1, metrics=metrics)
  text = page_text(folder)
  assert text.index(accounts.UNPROTECTED_NOTE) < text.index('<nav>')
  assert 'Clients and time' in headings(text)


def test_epsilon_is_given_at_deltas_that_mean_something(path):
  runs.begin(path, runs.make_plan(10**6, 1_000, 1.0))
  text = run_page.page_of(records.read(path))
  assert '<td>1e-05</td>' not in text and '<td>1e-07</td>' in text
  (row,) = re.findall('<tr class="marked">(.*?)</tr>', text)
  assert '<td>1e-09</td>' in row


def test_html_is_escaped_once():
  assert markup.escaped('a<b') == 'a&lt;b'
  assert markup.element('p', markup.element('b', '&')) == '<p><b>&amp;</b></p>'


def test_an_epsilon_that_protects_nobody_is_called_so(tmp_path):
  """And what would protect, always with the word hypothetical."""
  weak = runs.account_of(tmp_path / 'weak', runs.PLAN, 30)
  own, other = weak.statement(30)
  assert own.startswith(f'{runs.PLAN.epsilons(30).best:.4g} by PLD')
  assert 'protects nobody: enough noise' in own and 'ypothetical' not in own
  assert other.startswith('Hypothetical: ') and 'assumes' in other
  strong = runs.make_plan(10**6, 1_000, 1.0)
  assert strong.epsilons().best < 2
  (own,) = runs.account_of(tmp_path / 'strong', strong, 30).statement(30)
  assert 'nobody' not in own


def test_epsilon_is_that_of_the_ledger(tmp_path):
  """Which counts a round twice that was repeated after a kill."""
  promised = runs.account_of(tmp_path, runs.PLAN, 30)
  promised.ledger.append(30, runs.PLAN.release(30))
  assert promised.figures(30)['epsilon'] == runs.PLAN.epsilons(31).best


@pytest.mark.parametrize(
  'plan',
  [
    None,
    runs.make_plan(noise_multiplier=0.0),
    runs.make_plan(insecure_noise_seed=1),
  ],
)
def test_without_fresh_noise_no_epsilon_is_claimed(tmp_path, plan):
  promised = runs.account_of(tmp_path, plan, 30)
  (statement,) = promised.statement(30)
  assert statement.startswith('none: ')
  assert promised.figures(30) == {'epsilon': 'none'}


def test_the_epsilon_of_ledgers_together(tmp_path):
  for name in 'one', 'two':
    runs.account_of(tmp_path / name, runs.make_plan(10**6, 1_000, 1.0), 15)
  text = accounts.of_ledgers([tmp_path / 'one', tmp_path / 'two'], 1e-9)
  assert (
    f'{runs.make_plan(10**6, 1_000, 1.0).epsilons(30).best:.4g} by PLD' in text
  )
  assert '30 x each client with probability 0.001: Gaussian' in text
