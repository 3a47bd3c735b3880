"""Models that begin other runs, and those on whom they were trained."""

import dataclasses
import gc
import json
import shutil

import numpy as np
import pytest

from tests import stores
from tests.commands import training
from tff_asr import checksums, errors
from tff_asr.commands import evaluate, export
from tff_asr.corpora import client_store as store
from tff_asr.models import model_folder
from tff_asr.privacy.mechanism import bounds, layer_clipping
from tff_asr.runs import lineage, participants, records


def test_a_model_and_its_bounds_can_begin_another_run(
  finished, unprotected, quick, tmp_path
):
  released = bounds.read(unprotected[0] / 'layer_bounds.tsv')
  clipping = layer_clipping.LayerClipping(
    bounds.total(released.values()),
    layer_bounds='given',
    given_bounds=tuple(released.items()),
  )
  training.run(
    quick,
    tmp_path / 'run',
    clipping=clipping,
    seed_model=finished[0],
    prior_ledger=(finished[0],),
  )
  first = training.rows(tmp_path / 'run')[0]
  assert float(first['wer']) == pytest.approx(
    float(training.rows(finished[0])[-1]['wer'])
  )


def test_speakers_of_a_seed_model_are_not_in_the_population(
  finished, unprotected
):
  """Nothing was promised to them; the model says who they are."""
  (seed,) = lineage.read(finished[0] / 'seed_model')
  assert len(seed.unprotected) == 2 and not seed.ledger
  first, last = lineage.read(unprotected[0] / 'model')
  assert first == seed
  assert last.unprotected == () and last.ledger
  header = (unprotected[0] / 'ledger.jsonl').read_text().splitlines()[0]
  assert json.loads(header)['plan']['population'] == 4


def test_a_given_model_can_be_trained_further(finished, quick, tmp_path):
  """On other speakers, and with another rate of dropout."""
  output_dir = tmp_path / 'run'
  training.run(
    quick,
    output_dir,
    rounds=0,
    seed_clients=participants.ALL,
    regularisation={'dropout': 0.25},
  )
  first, second = lineage.read(output_dir / 'model')
  assert (first,) == lineage.read(finished[0] / 'seed_model')
  store = {*first.unprotected, *second.unprotected}
  assert len(store) == len(first.unprotected) + len(second.unprotected) == 6
  before, after = (
    model_folder.load(folder / 'seed_model')[0]
    for folder in (finished[0], output_dir)
  )
  assert after.config == dataclasses.replace(before.config, dropout=0.25)
  assert not np.array_equal(after.get_weights()[-1], before.get_weights()[-1])


def test_a_record_that_was_removed_is_no_model_trained_on_nobody(
  config, quick, finished, tmp_path
):
  """Of the model that a run begins with, of a run's own, of one to export."""
  given = tmp_path / 'given'
  shutil.copytree(finished[0] / 'seed_model', given)
  (given / 'lineage.json').unlink()
  training.refused(
    quick, tmp_path / 'run', 'no guarantee is possible', seed_model=given
  )
  assert not (tmp_path / 'run').exists()
  # Without a promise the models of the run say so.
  training.run(
    quick,
    tmp_path / 'run',
    seed_model=given,
    unprotected_metrics=True,
    rounds=0,
  )
  gc.collect()
  for model in 'seed_model', 'model':
    assert lineage.UNKNOWN in lineage.read(tmp_path / 'run' / model)
  facts = export.provenance(records.read(tmp_path / 'run'))
  assert any(text.startswith('unknown') for text in facts['trainings'])
  for model, use in (
    ('model', lambda run: export.export(run, tmp_path / 'x', 'a', 0, 9.0, [])),
    ('model', lambda run: evaluate.evaluate(run, quick.eval_store, 0)),
    ('seed_model', lambda run: training.run(config, run)),
  ):
    run = tmp_path / 'copy'
    training.copied(finished[0], run)
    (run / model / 'lineage.json').unlink()
    with pytest.raises(errors.UserError, match=r'no .*lineage\.json'):
      use(run)
    shutil.rmtree(run)


def test_a_private_model_brings_its_ledger_with_it(quick, finished, tmp_path):
  training.refused(
    quick, tmp_path / 'run', 'prior_ledger', seed_model=finished[0]
  )
  assert not (tmp_path / 'run').exists()


def test_no_hash_of_the_clients_data_is_handed_on(
  config, finished, unprotected, unguarded
):
  """Only `stores.json` has it, which stays."""
  opened = store.ClientStore(config.train_store)
  for folder in finished[0], unprotected[0], unguarded:
    files = [path for path in folder.rglob('*') if path.is_file()]
    found = {p.name for p in files if opened.digest.encode() in p.read_bytes()}
    assert found == {'stores.json'}
    for model in 'seed_model', 'model':
      trained_on = lineage.read(folder / model)
      assert {training.store for training in trained_on} == {opened.name}


def test_models_of_earlier_releases_are_recognised(
  config, quick, finished, unguarded, tmp_path
):
  """They have the content hash where others have a name."""
  opened = store.ClientStore(config.train_store)
  for model, message in (finished[0], 'prior_ledger'), (unguarded, 'without p'):
    old = tmp_path / model.name
    shutil.copytree(model / 'model', old)
    text = (old / 'lineage.json').read_text()
    checksums.write(
      old / 'lineage.json', text.replace(opened.name, opened.digest)
    )
    assert lineage.has_content_hash(lineage.read(old))
    training.refused(quick, tmp_path / 'new', message, seed_model=old)


def test_a_run_goes_on_with_a_store_that_was_prepared_again(config, tmp_path):
  """And then was trained on both, as far as other runs can tell."""
  items = [stores.make(f'c{i}', f'{i}') for i in range(3)]
  path, output_dir = tmp_path / 'store', tmp_path / 'run'
  names = []
  for _ in range(2):
    shutil.rmtree(path, ignore_errors=True)
    names.append(stores.opened(path, items).name)
    training.run(config, output_dir, train_store=path, rounds=0)
    gc.collect()
  for model in 'seed_model', 'model':
    recorded = lineage.read(output_dir / model)
    assert [t.store for t in recorded] == names
    assert len({t.unprotected for t in recorded}) == 1
  # Another draw of the seed speakers, as earlier releases made it.
  other = lineage.trainings(names, ['c0', 'c1', 'c2'])
  lineage.write(output_dir / 'seed_model', other)
  training.refused(
    config,
    output_dir,
    'revealed who the clients are',
    train_store=path,
    rounds=0,
  )


@pytest.mark.parametrize('rounds', [0, 1])
@pytest.mark.parametrize('model', ['', 'model', 'seed_model'])
def test_clients_of_a_private_run_are_not_evaluated(
  quick, finished, tmp_path, model, rounds
):
  training.refused(
    quick,
    tmp_path / 'run',
    'A private run trained',
    seed_model=finished[0] / model,
    train_store=quick.eval_store,
    eval_store=quick.train_store,
    cohort_size=1,
    rounds=rounds,
  )
  assert not (tmp_path / 'run').exists()
  with pytest.raises(errors.UserError, match='A private run trained'):
    evaluate.evaluate(finished[0] / model, quick.train_store, 0)


def test_nothing_is_promised_to_whom_the_model_was_trained_on(
  quick, unguarded, tmp_path
):
  training.refused(
    quick, tmp_path / 'run', 'without privacy', seed_model=unguarded
  )
  model = unguarded / 'model' / 'lineage.json'
  whole = model.read_text()
  model.write_text(whole[:-5])
  message = f'{model} is not as it was written'
  training.refused(quick, tmp_path / 'run', message, seed_model=unguarded)
  model.write_text(whole)
