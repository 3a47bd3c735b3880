"""Export of a run that came to its end."""

import json
import pathlib
import shutil

import pytest
import tensorflow as tf

from tests import old_ledgers
import tff_asr
from tff_asr import checksums, errors
from tff_asr.commands import export
from tff_asr.corpora import client_store
from tff_asr.privacy.accounting import ledger
from tff_asr.runs import transcripts


def exported(run_dir, export_dir, **changes):
  settings = dict(name='asr', beam=4, max_seconds=60.0, phones=['int8'])
  return export.export(run_dir, export_dir, **{**settings, **changes})


def test_the_model_of_another_run_is_not_exported_with_this_ones_epsilon(
  finished, tmp_path
):
  run = shutil.copytree(finished[0], tmp_path / 'run')
  # One that knows of no ledger, and one with other weights.
  shutil.copytree(run / 'model', tmp_path / 'model')
  shutil.rmtree(run / 'model')
  shutil.copytree(run / 'seed_model', run / 'model')
  with pytest.raises(
    errors.UserError, match='is not the final model of the run'
  ):
    exported(run, tmp_path / 'asr')
  for name in 'lineage.json', 'checksums.txt':
    shutil.copy(tmp_path / 'model' / name, run / 'model')
  checksums.add(run / 'model' / 'model.weights.h5')
  with pytest.raises(
    errors.UserError, match='is not the final model of the run'
  ):
    exported(run, tmp_path / 'asr')


def test_a_run_is_served_with_where_it_is_from(finished, config, tmp_path):
  run, _ = finished
  (tmp_path / 'asr').mkdir()
  (tmp_path / 'asr' / 'models.config').write_text('# of another model\n')
  text = exported(run, tmp_path / 'asr')
  version = tmp_path / 'asr' / '1'
  summary = json.loads((run / 'summary.json').read_text())
  assert f'Version 1 of asr: {version}' in text
  for said in f'{summary["epsilon"]:.4g} by PLD', 'has no model asr: add it':
    assert said in ' '.join(text.split())
  assert (version / 'assets.extra/int8.tflite').stat().st_size > 1_000

  facts = json.loads((version / 'assets/provenance.json').read_text())
  for name in 'epsilon', 'delta', 'noise_multiplier', 'rounds', 'wer':
    assert facts[name] == summary[name]
  assert facts['trained_with'] == summary['provenance']
  assert facts['exported_with']['packages']['tensorflow'] == tf.__version__
  # The model goes to others: they are to see no folders of this machine.
  places = [config.train_store.parent, run.parent, tmp_path]
  places += [pathlib.Path(m.__file__).parent for m in (tf, tff_asr)]
  for path in version.rglob('*'):
    for place in places:
      if path.is_file():
        assert str(place).encode() not in path.read_bytes(), path
  flags = (version / 'assets/flags.txt').read_text()
  assert '--train_store=train\n' in flags and '--rounds=' in flags
  card = (version / 'assets/model_card.md').read_text()
  assert card.startswith((run / 'model_card.md').read_text().rstrip())
  assert 'Epsilon' in card and '## Served' in card
  vocabulary = json.loads((version / 'assets/vocabulary.json').read_text())
  assert vocabulary['pieces'][:3] == ['', ' ', "'"]

  model = tf.saved_model.load(str(version))
  store = client_store.ClientStore(config.eval_store)
  expected = {
    t.utterance_id: t.hypothesis
    for t in transcripts.read(run / 'transcripts.tsv')
  }
  for client_id in store.client_ids:
    for record in store.records(client_id):
      pcm = tf.io.decode_raw(record['audio'], tf.int16)
      found = model.signatures['serving_default'](
        waveform=tf.cast(pcm, tf.float32)[None] / 2**15,
        lengths=tf.size(pcm)[None],
      )
      name = record['utterance_id'].numpy().decode()
      assert found['text'][0].numpy().decode() == expected.pop(name)
  assert not expected


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(name='a/b'), '`model_name=a/b`'),
    (dict(name='été'), '`model_name=été`'),
    (dict(max_seconds=0.0), 'max_seconds'),
  ],
)
def test_settings_that_cannot_be_are_refused(
  finished, tmp_path, changes, message
):
  with pytest.raises(errors.UserError, match=message):
    exported(finished[0], tmp_path / 'asr', **changes)
  assert not (tmp_path / 'asr').exists()


def test_what_is_no_finished_run_is_refused(finished, tmp_path):
  with pytest.raises(errors.UserError, match='There is no run'):
    exported(tmp_path, tmp_path / 'asr')
  (tmp_path / 'flags.txt').write_bytes((finished[0] / 'flags.txt').read_bytes())
  with pytest.raises(errors.UserError, match='is not finished: run the train'):
    exported(tmp_path, tmp_path / 'asr')
  assert not (tmp_path / 'asr').exists()


def test_a_card_without_what_is_known_of_old_ledgers_gets_it(
  finished, tmp_path
):
  run, old = tmp_path / 'run', tmp_path / 'old.jsonl'
  shutil.copytree(finished[0], run)
  book = ledger.Ledger(run / ledger.FILE_NAME)
  old_ledgers.begin(old, book.plan, book.relation.name)
  ledger.Ledger.open(book.path, book.plan, book.relation, [old])
  text = exported(run, tmp_path / 'asr', beam=0, phones=[])
  assert 'ledger version 1' in text
  assets = tmp_path / 'asr' / '1' / 'assets'
  for name in 'model_card.md', 'provenance.json':
    assert 'ledger version 1' in (assets / name).read_text()
