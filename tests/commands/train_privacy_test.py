"""What a run promises, releases, and keeps to."""

import json
import re

import pytest

from tests.commands import training
from tff_asr.corpora import client_store
from tff_asr.executors import map_reduce
from tff_asr.privacy import settings
from tff_asr.privacy.mechanism import bounds


def test_a_run_ends_before_the_round_that_would_exceed_its_budget(
  quick, tmp_path, capfd
):
  """And goes on when the budget is raised."""
  output_dir = tmp_path / 'run'
  plan = quick.privacy.plan(population=4, rounds=3)
  one, two, three = (plan.epsilons(n).best for n in (1, 2, 3))
  for budget, done in (one, 1), ((two + three) / 2, 2):
    training.run(quick, output_dir, rounds=3, max_epsilon=budget)
    assert f'Stopped after {done} of 3 rounds' in capfd.readouterr().out
    assert training.summary_of(output_dir)['rounds'] == done
    assert (
      training.summary_of(output_dir)['epsilon'] == plan.epsilons(done).best
    )
    assert (
      len(training.rows(output_dir)) == done + 1
      and training.rows(output_dir)[-1]['wer']
    )


def test_every_round_trains_those_who_were_drawn_for_it_and_nobody_else(
  quick, tmp_path, monkeypatch
):
  """From the sampler's first call to the clients that the runtime is given."""
  asked, trained = [], []
  make = settings.PrivacyConfig.cohorts

  def cohorts(self, plan, client_ids):
    make(self, plan, client_ids)  # Refuses what it must.
    a, b, c, d = sorted(client_ids)
    draws = iter([[a], [b, c], [], [c, d], [a, b, c, d]])

    def sample(number):
      asked.append((number, next(draws)))
      return asked[-1][1]

    return sample

  run = map_reduce.MapReduce.run

  def noting(self, server, clients, *args):
    names = ' '.join(client.name for client in clients)
    # A name in a round is the client, and a number that is new.
    trained.append(sorted(re.findall(r"'(.+?)(?:@\d+)?'", names)))
    return run(self, server, clients, *args)

  monkeypatch.setattr(settings.PrivacyConfig, 'cohorts', cohorts)
  monkeypatch.setattr(map_reduce.MapReduce, 'run', noting)
  training.run(quick, tmp_path / 'run', rounds=4, evaluate_every=4)
  assert [number for number, _ in asked] == [1, 2, 3, 4]
  assert trained[-4:] == [cohort for _, cohort in asked]
  # Before the rounds only a speaker to whom nothing is promised.
  population = set(asked[1][1] + asked[0][1] + asked[3][1])
  everybody = set(client_store.ClientStore(quick.train_store).client_ids)
  assert len(population) == 4 and population < everybody
  assert not population & {name for names in trained[:-4] for name in names}


def test_a_seed_for_the_noise_takes_every_epsilon_away(quick, tmp_path):
  """That of a later run on the same clients too."""
  one = tmp_path / 'one'
  table = training.run(quick, one, insecure_noise_seed=7)
  assert (
    'epsilon   none' in table and training.summary_of(one)['epsilon'] == 'none'
  )
  assert 'epsilon' not in training.rows(one)[-1]
  assert 'No privacy guarantee' in (one / 'report.html').read_text()
  later = dict(prior_ledger=(one,))
  message = 'is already inf'
  training.refused(
    quick, tmp_path / 'two', message, max_epsilon=1_000.0, **later
  )
  table = training.run(quick, tmp_path / 'two', **later)
  assert 'an earlier run' in table and 'epsilon   none' in table


def test_unprotected_figures_mark_all_that_a_run_writes(unprotected):
  output_dir, table = unprotected
  last = training.rows(output_dir)[-1]
  assert float(last['unprotected/loss']) >= 0
  assert float(last['unprotected/clients']) >= 0
  for name in 'train', 'save', 'evaluate':
    assert float(last[f'unprotected/seconds/{name}']) > 0
  assert training.summary_of(output_dir)['unprotected/minutes'] > 0
  known = ('norm/', 'bound/', 'unprotected/')
  rest = {name for name in last if not name.startswith(known)}
  assert rest == {
    *('round', 'wer', 'cer', 'eval_loss'),
    *('epsilon', 'epsilon_rdp', 'epsilon_pld'),
  }
  header = (output_dir / 'ledger.jsonl').read_text().splitlines()[0]
  assert json.loads(header)['plan']['unprotected_metrics']
  for text in (
    table,
    (output_dir / 'report.html').read_text(),
    (output_dir / 'summary.json').read_text(),
    (output_dir / 'UNPROTECTED.txt').read_text(),
  ):
    assert 'UNPROTECTED' in text


def test_adaptive_bounds_are_released(unprotected):
  output_dir, _ = unprotected
  released = bounds.read(output_dir / 'layer_bounds.tsv')
  last = training.rows(output_dir)[-1]
  for layer, bound in released.items():
    assert float(last[f'bound/{layer}']) == pytest.approx(bound, rel=1e-6)
  page = (output_dir / 'report.html').read_text()
  for plot in 'Norm of the aggregate', 'Signal to noise', 'Clipping bound':
    assert f'aria-label="{plot} by layer and round"' in page


def test_the_noise_can_be_made_to_meet_an_epsilon(
  unprotected, quick, tmp_path, capfd
):
  """Of all runs on the clients together."""
  first, second = unprotected[0], tmp_path / 'second'
  spent = training.summary_of(first)['epsilon']
  second_run = dict(noise_multiplier=None, prior_ledger=(first,))
  for target in spent, spent / 2:
    message = 'runs of `prior_ledger`'
    training.refused(
      quick, second, message, target_epsilon=target, **second_run
    )
    assert not second.exists()
  table = training.run(quick, second, target_epsilon=2 * spent, **second_run)
  assert 'earlier runs included' in ' '.join(table.split())
  # In the plan, which is printed before the rounds begin.
  printed = ' '.join(capfd.readouterr().out.split())
  assert 'earlier runs included (this run alone: ' in printed
  assert 0.99 * 2 * spent < training.summary_of(second)['epsilon'] <= 2 * spent
  # The noise stays as it was, and the target is not exceeded.
  training.run(quick, second, rounds=3, target_epsilon=2 * spent, **second_run)
  assert training.summary_of(second)['rounds'] == 1


def test_a_hypothetical_epsilon_stands_beside_the_true_one(unprotected, quick):
  output_dir, table = unprotected
  text = ' '.join(table.split())
  plan = quick.privacy.plan(population=4, rounds=1)
  other = plan.hypothetical(2_000, 100_000)
  assert f'epsilon {plan.epsilons().best:.4g} by PLD' in text
  assert f'Hypothetical: {other.epsilons().best:.4g} by PLD' in text
  assert training.summary_of(output_dir)['hypothetical'] == {
    'cohort_size': 2_000,
    'population': 100_000,
    'epsilon': other.epsilons().best,
  }
