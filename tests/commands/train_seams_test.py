"""A mechanism and a sampling scheme of one's own, each registered in a line.

Each goes through a whole run: from the settings to the report, and back from
the run's folder.
"""

import collections
import dataclasses
import json

import dp_accounting
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_privacy as tfp

from tests.commands import training
from tff_asr.privacy import plan_words
from tff_asr.privacy.mechanism import (
  gaussian_query,
  grouping,
  mechanism_protocol,
  mechanisms,
)
from tff_asr.privacy.sampling import sampling_protocol, schemes
from tff_asr.runs import records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Everybody(sampling_protocol.Scheme):
  """All clients are in all rounds."""

  name = 'everybody'
  help = 'all clients in all rounds'
  neighbours = 'with or without one client'
  assumed = 'nothing of the cohorts'

  @property
  def expected_cohort(self):
    return float(self.population)

  def sampler(self, client_ids, insecure_seed):
    del insecure_seed
    return lambda round_number: list(client_ids)

  def round_event(self, event):
    return event

  def in_words(self):
    return 'everybody takes part in every round'


State = collections.namedtuple('State', ['bounds', 'draw', 'rounds'])


class CountingQuery(gaussian_query.LayerClippedGaussianSumQuery):
  """Noise on the sum, and a count of rounds in the state."""

  def initial_global_state(self):
    state = super().initial_global_state()
    return State(*state, tf.constant(0, tf.int64))

  def get_noised_result(self, sample_state, global_state):
    state = global_state._replace(rounds=global_state.rounds + 1)
    return super().get_noised_result(sample_state, state)

  def derive_metrics(self, global_state):
    return collections.OrderedDict(rounds=global_state.rounds)


@dataclasses.dataclass(frozen=True)
class Norms:
  norms: dict[str, float]

  def of_round(self, bounds=None):
    assert bounds is None or bounds.keys() == {'rounds'}
    return self.norms


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cautious(mechanism_protocol.Mechanism):
  """The noise of a Gaussian, and half of it accounted for; keeps a state."""

  name = 'cautious'
  help = 'Gaussian noise, of which half is accounted for'

  def event(self, contributions):
    return dp_accounting.GaussianDpEvent(
      self.noise_multiplier / 2 / contributions
    )

  def noised_sum(self, layers, expected_cohort) -> tfp.SumAggregationDPQuery:
    del expected_cohort
    groups = grouping.group(layers, self.clipping.layer_groups)
    return CountingQuery(
      groups, self.clipping.bounds_of(groups), self.noise_multiplier
    )

  def released_bounds(self, layers, measurements):
    return {'rounds': float(measurements['dp_query_metrics']['rounds'])}

  def noise_norms(self, layers, expected_cohort):
    stddev = self.noise_multiplier * self.clipping.clip_norm / expected_cohort
    return Norms({name: stddev * size**0.5 for name, size in layers.items()})

  def noise_in_words(self):
    return 'more than is accounted for'


@pytest.fixture
def registered(monkeypatch):
  monkeypatch.setitem(schemes.SCHEMES, Everybody.name, Everybody)
  monkeypatch.setitem(mechanisms.MECHANISMS, Cautious.name, Cautious)


def header(output_dir):
  text = (output_dir / 'ledger.jsonl').read_text()
  return json.loads(text.splitlines()[0])['plan']


def flat(text):
  return ' '.join(text.split())


@pytest.mark.usefixtures('registered')
@pytest.mark.parametrize(
  ('changes', 'recorded', 'multiplier', 'words'),
  [
    (
      {'sampling': Everybody.name},
      {'sampling': Everybody.name},
      0.5,
      'everybody takes part in every round',
    ),
    (
      {'mechanism': Cautious.name, 'sampling': 'none', 'cohort_size': 4},
      {'mechanism': Cautious.name},
      0.25,
      'more than is accounted for',
    ),
  ],
  ids=['sampling', 'mechanism'],
)
def test_one_of_ones_own_goes_through_a_run(
  quick, tmp_path, capfd, changes, recorded, multiplier, words
):
  """Four clients, all of them in the only round."""
  folder = tmp_path / 'run'
  table = training.run(quick, folder, rounds=2, **changes)
  # Of two Gaussians of multiplier z, that of z / sqrt(2).
  accountant = dp_accounting.pld.PLDAccountant(
    dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE
  )
  accountant.compose(dp_accounting.GaussianDpEvent(multiplier / 2**0.5))
  epsilon = training.summary_of(folder)['epsilon']
  assert epsilon == pytest.approx(accountant.get_epsilon(1e-6), rel=1e-3)
  assert f'{epsilon:.4g} by PLD' in flat(table)
  assert words in flat(capfd.readouterr().out)
  assert words in flat((folder / 'report.html').read_text())
  assert recorded.items() <= header(folder).items()
  # The run is read, and resumed, from its folder.
  plan = records.read(folder).account.plan
  privacy = training.changed(quick, **changes).privacy
  assert plan == dataclasses.replace(privacy.plan(4, 2), rounds=plan.rounds)
  assert plan.expected_cohort == 4.0
  assert words in flat(plan_words.text(plan))
  training.run(quick, folder, rounds=3, **changes)
  rows = training.rows(folder)
  assert [row['round'] for row in rows] == ['0', '1', '2', '3']
  if 'mechanism' in recorded:
    assert [row['bound/rounds'] for row in rows[1:]] == ['1.0', '2.0', '3.0']
  page = (folder / 'report.html').read_text()
  assert 'aria-label="Signal to noise by layer and round"' in page


@pytest.mark.usefixtures('registered')
def test_the_noise_of_ones_own_mechanism_is_added(quick, tmp_path):
  """To the mean: with such noise little else is in it."""
  folder = tmp_path / 'run'
  changes = dict(mechanism=Cautious.name, noise_multiplier=1e3)
  training.run(quick, folder, **changes)
  record = records.read(folder)
  expected = record.account.plan.noise_norms(record.layers).of_round()
  last = training.rows(folder)[-1]
  found = [float(last[f'norm/{name}']) for name in expected]
  total = np.linalg.norm(list(expected.values()))
  # Of 3,000 coordinates or more: 6 standard errors of the norm.
  assert sum(record.layers.values()) > 3_000
  assert np.linalg.norm(found) == pytest.approx(total, rel=0.08)
