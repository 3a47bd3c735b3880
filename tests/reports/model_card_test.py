"""The card says what the run promises, and nothing that it must not."""

import pytest

from tests import stores
from tests.runs import runs
from tff_asr.reports import model_card, run_report
from tff_asr.runs import folders, lineage, records


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
  folder = tmp_path_factory.mktemp('stores')
  items = [stores.make(client, f'{client}-1') for client in ('ann', 'bob')]
  return stores.opened(folder / 'heard', items)


def finish(tmp_path, plan, opened, rounds=2):
  folder, promised = runs.begin(tmp_path / 'run', plan, rounds)
  folder.model.mkdir()
  promises = plan is not None and plan.is_guarantee
  facts = model_card.provenance(
    opened, opened, ['ann'], ['bob'] if rounds else (), promises
  )
  run_report.write(
    folder,
    promised,
    rounds,
    runs.TRANSCRIPTS,
    runs.MINUTES,
    provenance=facts,
  )
  return folder, folder.model_card.read_text()


def test_the_card_has_data_guarantee_results_and_limits(tmp_path, opened):
  folder, card = finish(tmp_path, runs.PLAN, opened)
  promised = records.read(folder.path).account
  for part in (
    *('## Data', '## Privacy', '## Results', '## Limits', '`heard`'),
    *promised.statement(2),
    *('protects nobody', 'worst tenth of the speakers', 'tensorflow 2.'),
  ):
    assert part in card
  assert (folder.model / 'model_card.md').read_text() == card


@pytest.mark.parametrize('known', ['name', 'digest'])
def test_the_card_knows_the_store_by_name_and_by_content(
  tmp_path, opened, known
):
  """Earlier releases recorded the content."""
  folder = folders.RunFolder(
    tmp_path / 'run',
    {},
    {'train': opened.digest},
    store_names=[opened.name, 'store-again'],
  )
  names = [getattr(opened, known), 'store-again', 'store-other']
  lineage.write(folder.model, lineage.trainings(names, ['ann']))
  run_report.write(
    folder,
    runs.account_of(folder.path, None, 0),
    0,
    runs.TRANSCRIPTS,
    1.5,
    provenance=model_card.provenance(opened, opened, ['ann'], (), False),
  )
  card = folder.model_card.read_text()
  assert card.count('on 1 speaker of the same store') == 1
  assert card.count('on 1 speaker of another store') == 1


def test_the_card_names_no_place_on_the_machine(tmp_path, opened):
  _, card = finish(tmp_path, runs.PLAN, opened)
  assert str(tmp_path) not in card and str(opened.path.parent) not in card


def test_how_much_protected_clients_said_is_nowhere(tmp_path, opened):
  folder, card = finish(tmp_path, runs.PLAN, opened)
  assert 'population_hours' not in folder.summary.read_text()
  assert 'is not released' in card


def test_without_a_promise_the_card_says_so(tmp_path, opened):
  _, card = finish(tmp_path, None, opened)
  assert (
    'no privacy guarantee' in card and 'as you treat their recordings.' in card
  )
  assert 'is not released' not in card


def test_a_central_model_promises_nothing(tmp_path, opened):
  _, card = finish(tmp_path, None, opened, rounds=0)
  assert 'nobody has a guarantee' in card


def test_a_card_is_made_anew_with_the_page(tmp_path, opened):
  folder, card = finish(tmp_path, runs.PLAN, opened)
  folder.model_card.unlink()
  run_report.again(folder.path)
  assert folder.model_card.read_text() == card
