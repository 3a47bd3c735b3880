"""What a model tells of its trainings."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from tff_asr import errors
from tff_asr.programs import lineage

STORES = st.sampled_from(['a', 'b'])
TRAININGS = st.builds(
  lineage.Training,
  store=STORES,
  unprotected=st.lists(st.text(), unique=True).map(tuple),
  ledger=st.none() | st.sampled_from(['one', 'two']),
)
LINEAGES = st.lists(TRAININGS).map(tuple)


@given(LINEAGES)
def test_what_is_written_is_read(tmp_path_factory, trainings):
  folder = tmp_path_factory.getbasetemp() / 'model'
  lineage.write(folder, trainings)
  assert lineage.read(folder) == trainings
  assert [path.name for path in folder.iterdir()] == ['lineage.json']


def test_a_model_from_elsewhere_tells_nothing(tmp_path):
  assert lineage.read(tmp_path) == ()


@given(LINEAGES, STORES)
def test_speakers_of_every_training_on_a_store_are_unprotected(
  trainings, store
):
  found = lineage.unprotected(trainings, store)
  assert found == set().union(
    *(t.unprotected for t in trainings if t.store == store)
  )


@given(LINEAGES, STORES, st.sets(st.text()), st.booleans())
def test_error_rates_break_no_promise(trainings, store, speakers, unprotected):
  private = any(t.store == store and t.ledger for t in trainings)
  protected = speakers - lineage.unprotected(trainings, store)
  assert lineage.has_promised(trainings, store, speakers) == (
    private and bool(protected)
  )
  arguments = trainings, store, speakers, unprotected
  if private and protected and not unprotected:
    with pytest.raises(errors.UserError, match='--release_unprotected_metrics'):
      lineage.check_evaluated(*arguments)
  else:
    lineage.check_evaluated(*arguments)


@given(LINEAGES, STORES, st.sets(st.sampled_from(['one', 'two'])))
def test_every_ledger_on_a_store_must_be_told_of(trainings, store, told):
  needed = {t.ledger for t in trainings if t.store == store and t.ledger}
  if needed <= told:
    lineage.check_told(trainings, store, told)
  else:
    with pytest.raises(errors.UserError, match='--prior_ledger'):
      lineage.check_told(trainings, store, told)


@pytest.mark.parametrize(
  'damage', ['', '[', '{}', '[]', '[{"store": "a"}]', '[3]']
)
def test_a_damaged_record_is_an_error(tmp_path, damage):
  (tmp_path / 'lineage.json').write_text(damage)
  with pytest.raises(errors.UserError, match='damaged'):
    lineage.read(tmp_path)
