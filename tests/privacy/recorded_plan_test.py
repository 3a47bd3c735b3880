"""The plan of a run is that of its ledger, whichever release wrote it.

`ledgers` has ledgers of the release that recorded plans as one flat object,
with two rounds each.
"""

import json
import pathlib
import shutil

import pytest

from tests import plans
from tff_asr import errors
from tff_asr.privacy import recorded_plan
from tff_asr.privacy.accounting import ledger
from tff_asr.privacy.mechanism import layer_clipping
from tff_asr.privacy.sampling import available_hours

LEDGERS = pathlib.Path(__file__).parent / 'ledgers'


def make(sampling='poisson', clipping=None, **settings):
  return plans.make(
    sampling=sampling,
    population=100,
    cohort_size=10,
    rounds=4,
    delta=1e-6,
    noise_multiplier=0.7,
    clipping=layer_clipping.LayerClipping(0.5, **(clipping or {})),
    **settings,
  )


EARLIER = {
  'poisson': make(
    over_selection=1.25,
    availability=available_hours.Daily(8.0, 24),
    noise_allocation='per_layer',
    clipping=dict(layer_bounds='adaptive', quantile=0.4),
  ),
  'fixed': make(
    'fixed',
    over_selection=1.5,
    unprotected_metrics=True,
    clipping=dict(layer_bounds='given', given_bounds=(('a', 0.3), ('b', 0.4))),
  ),
  'turns': make('none', clipping=dict(layer_groups='block')),
  'no_guarantee': make(
    'none', insecure_noise_seed=7, clipping=dict(mode='normalise')
  ),
}


@pytest.fixture(params=EARLIER)
def earlier(request, tmp_path):
  """A copy of an earlier ledger, and its plan."""
  path = tmp_path / ledger.FILE_NAME
  shutil.copy(LEDGERS / f'{request.param}.jsonl', path)
  return path, EARLIER[request.param]


def test_all_earlier_ledgers_are_tried():
  assert {path.stem for path in LEDGERS.iterdir()} == EARLIER.keys()


def test_an_earlier_ledger_has_its_plan_and_its_releases(earlier):
  path, plan = earlier
  book = ledger.Ledger(path)
  assert recorded_plan.of(book, 4) == plan
  assert book.relation is plan.relation
  two = plans.changed(plan, rounds=2)
  assert book.epsilons(1e-6) == two.epsilons()


def test_a_run_goes_on_with_an_earlier_ledger(earlier):
  path, plan = earlier
  header = json.loads(path.read_text().splitlines()[0])
  assert json.loads(json.dumps(plan.facts())) == header['plan']
  book = plan.open_ledger(path)
  book.append(3, plan.release(3))
  assert ledger.Ledger(path).rounds == {1, 2, 3}
  assert book.epsilons(1e-6) == plans.changed(plan, rounds=3).epsilons()


@pytest.mark.parametrize(
  'changes',
  [
    dict(sampling='fixed'),
    dict(over_selection=1.1),
    dict(noise_multiplier=0.8),
    dict(clipping=layer_clipping.LayerClipping(0.6)),
    dict(unprotected_metrics=True),
  ],
)
def test_another_plan_does_not_go_on_with_it(tmp_path, changes):
  path = tmp_path / ledger.FILE_NAME
  make().open_ledger(path)
  (name,) = changes
  with pytest.raises(errors.UserError, match=f'of another plan .*{name} was'):
    plans.changed(make(), **changes).open_ledger(path)


def test_a_record_of_no_plan_of_this_release_is_an_error(tmp_path):
  for number, changes in enumerate(
    [
      {'sampling': 'by_hand'},
      {'mechanism': 'by_hand'},
      {'surprise': 1},
      {'clipping': None},
      {'delta': 2.0},
    ]
  ):
    path = tmp_path / f'{number}.jsonl'
    facts = make().facts() | changes
    book = ledger.Ledger.open(path, facts, make().relation)
    with pytest.raises(
      errors.UserError, match='This release cannot read the plan in'
    ) as found:
      recorded_plan.of(book, 4)
    text = str(found.value)
    assert text.endswith('.') and not text.endswith('..')
    if 'by_hand' in changes.values():
      # No command that reads a plan has a flag for it.
      assert "'by_hand' is not registered" in text and '`' not in text


@pytest.mark.parametrize('plan', EARLIER.values(), ids=EARLIER)
def test_the_plan_of_a_run_is_to_be_had_from_its_ledger(tmp_path, plan):
  book = plan.open_ledger(tmp_path / ledger.FILE_NAME)
  assert recorded_plan.of(book, plan.rounds) == plan
