"""Schemes and mechanisms of one's own that are wrong are refused."""

import dataclasses

import dp_accounting
import pytest

from tff_asr import errors
from tff_asr.privacy import plans
from tff_asr.privacy.accounting import accountants
from tff_asr.privacy.mechanism import gaussian, layer_clipping
from tff_asr.privacy.sampling import poisson, turns

CLIENTS = [f'client {number}' for number in range(10)]
SIZES = dict(population=len(CLIENTS), cohort_size=2)
NOISE = dict(clipping=layer_clipping.LayerClipping(1.0), noise_multiplier=2.0)


def plan(scheme=poisson.Poisson, mechanism=gaussian.Gaussian):
  return plans.PrivacyPlan(
    sampling=scheme(**SIZES),
    mechanism=mechanism(**NOISE),
    rounds=3,
    delta=1e-3,
  )


@pytest.mark.parametrize(
  'cohort', [['client 1', 'client 2', 'client 1'], ['client 1', 'a stranger']]
)
def test_a_cohort_that_no_epsilon_covers_is_refused(cohort):
  class Wrong(poisson.Poisson):
    def _sampler(self, client_ids, insecure_seed):
      return lambda number: cohort if number == 2 else ['client 1']

  sampler = plan(Wrong).cohorts(CLIENTS)
  assert sampler(1) == ['client 1']
  with pytest.raises(errors.UserError, match='in round 2'):
    sampler(2)


def test_the_contributions_of_a_scheme_follow_from_its_relation():
  class Replacing(turns.Turns):
    relation = accountants.Relation.REPLACE_ONE

  assert Replacing(**SIZES).contributions == 2.0
  event = plan(Replacing).release(1).event
  assert event == dp_accounting.GaussianDpEvent(1.0)


def test_a_mechanism_that_ignores_contributions_is_refused():
  class Ignorant(gaussian.Gaussian):
    def event(self, contributions):
      return dp_accounting.GaussianDpEvent(self.noise_multiplier)

  with pytest.raises(errors.UserError, match='for two contributions'):
    plan(mechanism=Ignorant)


@pytest.mark.parametrize('name', ['cohort_size', 'delta'])
def test_two_settings_of_one_name_are_refused(name):
  """The ledger would record one of them only."""
  own = dataclasses.make_dataclass(
    'Own',
    [(name, float, 7.0)],
    bases=(gaussian.Gaussian,),
    frozen=True,
    kw_only=True,
  )
  with pytest.raises(errors.UserError, match=f"fields \\['{name}'\\]"):
    plan(mechanism=own)
