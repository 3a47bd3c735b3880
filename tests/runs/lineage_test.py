"""What a model tells of its trainings."""

import hashlib
import os
import types

from hypothesis import given
from hypothesis import strategies as st
import pytest

from tests import stores
from tff_asr import checksums, errors
from tff_asr.corpora import store_names
from tff_asr.runs import folders, lineage

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
  assert {path.name for path in folder.iterdir()} == {
    *('lineage.json', checksums.NAME)
  }


def test_a_model_from_elsewhere_tells_nothing(tmp_path):
  assert lineage.read(tmp_path) == ()


@given(LINEAGES, STORES)
def test_speakers_of_every_training_on_a_store_are_unprotected(
  trainings, store
):
  found = lineage.unprotected(trainings, {store})
  assert found == set().union(
    *(t.unprotected for t in trainings if t.store == store)
  )


@given(LINEAGES, STORES, st.sets(st.text()), st.booleans())
def test_error_rates_break_no_promise(trainings, store, speakers, unprotected):
  private = any(t.store == store and t.ledger for t in trainings)
  protected = speakers - lineage.unprotected(trainings, {store})
  # By its name, or by the content hash of earlier releases.
  for known_as in dict(name=store, digest='c'), dict(name=None, digest=store):
    opened = types.SimpleNamespace(client_ids=sorted(speakers), **known_as)
    assert lineage.has_promised(trainings, opened) == (
      private and bool(protected)
    )
  arguments = trainings, opened, unprotected
  if private and protected and not unprotected:
    with pytest.raises(errors.UserError, match='`unprotected_metrics`'):
      lineage.check_evaluated(*arguments)
  else:
    lineage.check_evaluated(*arguments)


@given(LINEAGES, STORES, st.sets(st.sampled_from(['one', 'two'])))
def test_every_ledger_on_a_store_must_be_told_of(trainings, store, told):
  needed = {t.ledger for t in trainings if t.store == store and t.ledger}
  if needed <= told:
    lineage.check_prior_ledgers(trainings, {store}, told)
  else:
    with pytest.raises(errors.UserError, match='`prior_ledger`'):
      lineage.check_prior_ledgers(trainings, {store}, told)


@given(LINEAGES, st.sets(st.sampled_from(['a', 'b', 'c'])))
def test_a_store_is_known_by_any_of_its_names(trainings, names):
  found = lineage.unprotected(trainings, names)
  assert found == set().union(
    *(lineage.unprotected(trainings, [n]) for n in names)
  )


def test_speakers_of_a_store_without_a_name_may_be_of_any():
  trainings = lineage.trainings(['store-unnamed'], ['ann'])
  assert lineage.unprotected(trainings, {'a'}) == {'ann'}


@given(LINEAGES)
def test_a_content_hash_gives_way_to_names(trainings):
  names = ('one', 'two')
  changed = lineage.renamed(trainings, 'a', names)
  assert not any(t.store == 'a' for t in changed)
  before = lineage.unprotected(trainings, {'a'})
  for name in names:
    assert lineage.unprotected(changed, {name}) == before
  other = lineage.unprotected(trainings, {'b'})
  assert lineage.unprotected(changed, {'b'}) == other
  assert lineage.renamed(changed, 'a', names) == changed


def test_a_content_hash_is_told_from_a_name():
  digest = hashlib.sha256(b'data').hexdigest()
  for store, expected in (
    (digest, True),
    (store_names.new(), False),
    (store_names.UNNAMED, False),
  ):
    trainings = lineage.trainings(['another', store], ['ann'])
    assert lineage.has_content_hash(trainings) == expected


def test_a_run_goes_on_with_its_seed_speakers(tmp_path):
  """Also if an earlier release has recorded them by the content hash."""
  digest = 'd' * 64
  recorded = lineage.trainings([digest], ['ann', 'bob'])
  lineage.write(tmp_path, recorded)
  again = lineage.trainings(['store-1'], ['ann', 'bob'])
  found = lineage.check_seeds(tmp_path, again, {digest, 'store-1'})
  assert found == recorded + again
  assert lineage.has_content_hash(found)  # It has been told already.
  others = lineage.trainings(['store-1'], ['ann', 'eve'])
  with pytest.raises(errors.UserError, match='2 differ'):
    lineage.check_seeds(tmp_path, others, {digest, 'store-1'})


def test_a_run_knows_a_store_that_was_prepared_again_by_both_names(tmp_path):
  items = [stores.make('ann', '1')]
  one, again = (stores.opened(tmp_path / name, items) for name in 'ab')
  other = stores.opened(tmp_path / 'c', [stores.make('eve', '2')])
  run = tmp_path / 'run'
  assert lineage.names_of(one, run, True) == (one.name,)
  folders.RunFolder(run, {}, {'train': one.digest}, store_names=[one.name])
  assert lineage.names_of(again, run, True) == (one.name, again.name)
  assert lineage.names_of(other, run, True) == (other.name,)


def test_a_store_that_cannot_be_named_gets_no_promise(tmp_path, monkeypatch):
  """Nor does its content hash take the place of the name."""
  opened = stores.opened(tmp_path / 'store', [stores.make('ann', '1')])
  opened.name = None  # As of an earlier release.

  def fail(*_):
    raise OSError(30, 'Read-only file system')

  monkeypatch.setattr(os, 'link', fail)
  with pytest.raises(errors.UserError, match=r'Read-only.*writable'):
    lineage.names_of(opened, tmp_path / 'run', True)
  names = lineage.names_of(opened, tmp_path / 'run', False)
  assert names == (store_names.UNNAMED,)


@pytest.mark.parametrize(
  'damage', ['', '[', '{}', '[]', '[{"store": "a"}]', '[3]']
)
def test_a_damaged_record_is_an_error(tmp_path, damage):
  (tmp_path / 'lineage.json').write_text(damage)
  with pytest.raises(errors.UserError, match='damaged'):
    lineage.read(tmp_path)
