"""Schemes and mechanisms of one's own that are wrong are refused."""

import collections
import dataclasses
import itertools
import math

import dp_accounting
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from tff_asr import errors
from tff_asr.privacy import plans
from tff_asr.privacy.accounting import accountants, releases
from tff_asr.privacy.mechanism import (
  gaussian,
  layer_clipping,
  mechanism_protocol,
  mechanisms,
)
from tff_asr.privacy.sampling import (
  fixed_size,
  poisson,
  sampling_protocol,
  schemes,
  turns,
)

DRAWS = itertools.count(1.0)
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
    def sampler(self, client_ids, insecure_seed):
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


@given(
  scheme=st.sampled_from(sorted(schemes.SCHEMES)),
  cohort_size=st.integers(1, 10),
  rounds=st.integers(0, 40),
)
def test_a_plan_counts_the_releases_that_its_ledger_counts(
  scheme, cohort_size, rounds
):
  sampling = schemes.SCHEMES[scheme](population=10, cohort_size=cohort_size)
  event = dp_accounting.GaussianDpEvent(1.0)
  recorded = [sampling.release(n, event) for n in range(1, rounds + 1)]
  counted = releases.Counts().most_concerned(recorded)
  assert sampling.releases(rounds, event) == counted


@given(
  st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(2, 3)),
    max_size=12,
  )
)
def test_no_client_is_in_more_releases_than_are_counted(drawn):
  """Clients with any turn of any period, and events of two sizes."""
  found = [
    releases.RoundRelease(
      dp_accounting.GaussianDpEvent(float(noise)), (turn % period, period)
    )
    for turn, period, noise in drawn
  ]
  counted = dict(releases.Counts().most_concerned(found))
  for own_turns in itertools.product(range(1), range(2), range(3)):
    own = collections.Counter(
      r.event for r in found if r.turn[0] == own_turns[r.turn[1] - 1]
    )
    assert all(counted[event] >= count for event, count in own.items())


def test_a_client_outside_of_its_turn_is_refused():
  class Shuffled(turns.Turns):
    def sampler(self, client_ids, insecure_seed):
      return lambda number: [client_ids[number]]

  class Repeated(turns.Turns):
    def sampler(self, client_ids, insecure_seed):
      return lambda number: [client_ids[0]]

  sampler = plan(Shuffled).cohorts(CLIENTS)
  assert [sampler(number) for number in range(1, 6)]
  sampler = plan(Repeated).cohorts(CLIENTS)
  assert sampler(1) == sampler(6)
  with pytest.raises(errors.UserError, match=r'in round 2.*one turn in 5'):
    sampler(2)


@pytest.mark.parametrize(
  'wrong',
  [
    lambda event: dp_accounting.GaussianDpEvent(2.0),
    lambda event: dp_accounting.GaussianDpEvent(2 * event.noise_multiplier),
    lambda event: dp_accounting.GaussianDpEvent(next(DRAWS)),
  ],
)
def test_a_scheme_that_changes_the_event_of_the_mechanism_is_refused(wrong):
  class Wrong(poisson.Poisson):
    def round_event(self, event):
      return wrong(event)

  with pytest.raises(errors.UserError, match='with the event of the mechanism'):
    plan(Wrong)


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('contributions', 0.1),
    ('release', lambda self, number, event: None),
    ('releases', lambda self, rounds, event: ()),
    ('cohorts', lambda self, client_ids, insecure_seed=None: None),
  ],
)
def test_a_scheme_does_not_replace_the_parts_that_epsilon_follows_from(
  name, value
):
  with pytest.raises(TypeError, match=f'must not replace .*{name}'):
    type('Own', (poisson.Poisson,), {name: value})


@pytest.mark.parametrize('expected', [0.0, -5.0, math.nan, math.inf])
def test_a_denominator_that_is_no_size_is_refused(expected):
  class Wrong(poisson.Poisson):
    expected_cohort = expected

  with pytest.raises(errors.UserError, match='must be positive and finite'):
    plan(Wrong)


def test_neighbours_that_no_accountant_covers_are_refused():
  class Replaced(poisson.Poisson):
    relation = accountants.Relation.REPLACE_ONE

  class Added(fixed_size.FixedSize):
    relation = accountants.Relation.ADD_OR_REMOVE_ONE

  for scheme in Replaced, Added:
    with pytest.raises(errors.UserError, match='No accountant covers'):
      plan(scheme)


def test_an_event_that_no_ledger_can_record_is_refused():
  class Laplace(gaussian.Gaussian):
    def event(self, contributions):
      return dp_accounting.LaplaceDpEvent(self.noise_multiplier / contributions)

  with pytest.raises(errors.UserError, match='LaplaceDpEvent cannot be'):
    plan(mechanism=Laplace)


@pytest.mark.parametrize(
  'wrong',
  [
    lambda z, contributions: z,
    lambda z, contributions: z * contributions,
    lambda z, contributions: next(DRAWS) / contributions,
    lambda z, contributions: math.nan,
  ],
)
def test_a_mechanism_whose_event_is_not_of_the_contributions_is_refused(wrong):
  class Wrong(gaussian.Gaussian):
    def event(self, contributions):
      return dp_accounting.GaussianDpEvent(
        wrong(self.noise_multiplier, contributions)
      )

  with pytest.raises(errors.UserError, match='for two contributions'):
    plan(mechanism=Wrong)


def test_a_caller_who_changes_a_cohort_changes_no_other_round():
  sampler = plan(turns.Turns).cohorts(iter(CLIENTS))
  for number in range(1, 6):
    before = list(sampler(number))
    sampler(number).append('client of another turn')
    assert sampler(number) == before


def test_names_of_clients_are_strings():
  with pytest.raises(errors.UserError, match='must be strings'):
    plan(turns.Turns).cohorts(range(10))


@pytest.mark.parametrize('rounds', [2.5, '3', -1, math.nan])
def test_a_number_of_rounds_that_is_none_is_refused(rounds):
  with pytest.raises(errors.UserError, match=r'`rounds=.* must be a whole'):
    dataclasses.replace(plan(), rounds=rounds)


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: layer_clipping.LayerClipping('1'), '`clip_norm=1` must be from'),
    (lambda: gaussian.Gaussian(clipping=None, noise_multiplier=1.0), 'must be'),
    (
      lambda: gaussian.Gaussian(**{**NOISE, 'noise_multiplier': '2'}),
      'must be',
    ),
    (lambda: poisson.Poisson(population=10, cohort_size=2.5), 'whole number'),
    (lambda: poisson.Poisson(population='10', cohort_size=2), 'whole number'),
    (
      lambda: dataclasses.replace(plan(), mechanism=None),
      'must be a Mechanism',
    ),
    (
      lambda: dataclasses.replace(plan(), sampling='poisson'),
      'must be a Scheme',
    ),
    (lambda: plan().open_ledger('/nowhere/ledger.jsonl'), 'cannot be a'),
    (lambda: plan().open_ledger('/tmp'), 'cannot be a'),
    (lambda: plan().epsilons(-1), 'at least 0'),
  ],
)
def test_values_of_another_type_are_refused_in_a_line(make, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    make()
  assert '\n' not in str(caught.value)


def test_numbers_of_numpy_are_recorded(tmp_path):
  own = plans.PrivacyPlan(
    sampling=fixed_size.FixedSize(
      population=np.int64(10), cohort_size=np.int64(2)
    ),
    mechanism=gaussian.Gaussian(
      clipping=layer_clipping.LayerClipping(np.float32(1.0)),
      noise_multiplier=np.float32(2.0),
    ),
    rounds=np.int64(3),
    delta=np.float64(1e-3),
  )
  book = own.open_ledger(str(tmp_path / 'ledger.jsonl'))
  book.append(1, own.release(1))
  again = own.open_ledger(tmp_path / 'ledger.jsonl')
  assert again.epsilons(1e-3) == own.epsilons(1)


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


def test_an_incomplete_class_is_not_registered():
  class NoName(sampling_protocol.Scheme):
    def in_words(self):
      return ''

  class NoNoise(mechanism_protocol.Mechanism):
    name, help = 'none', 'nothing'

  lacks = (
    r'NoName lacks name, help, neighbours, assumed, round_event, sampler\.'
  )
  with pytest.raises(errors.UserError, match=lacks):
    schemes.register(NoName)
  lacks = r'lacks event, noise_in_words, noise_norms, noised_sum\.'
  with pytest.raises(errors.UserError, match=lacks):
    mechanisms.register(NoNoise)
  assert 'none' not in mechanisms.MECHANISMS
