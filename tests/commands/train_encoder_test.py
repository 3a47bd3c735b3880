"""An encoder of another kind goes through a whole run, and is served."""

import json

import pytest
import tensorflow as tf

from tests import convolution_encoder
from tests.commands import training
from tff_asr import errors
from tff_asr.commands import evaluate, export
from tff_asr.corpora import client_store
from tff_asr.learning import evaluation
from tff_asr.models import kinds, model_folder
from tff_asr.reports import run_report
from tff_asr.runs import records, transcripts
from tff_asr.serving import tflite


@pytest.fixture(scope='module', autouse=True)
def _registered():
  with convolution_encoder.registered():
    yield


@pytest.fixture(scope='module')
def run(config, tmp_path_factory):
  output_dir = tmp_path_factory.mktemp('runs') / 'run'
  training.run(
    config,
    output_dir,
    model=convolution_encoder.PRESET,
    regularisation={'dropout': 0.125},
  )
  return output_dir


@pytest.fixture(scope='module')
def hypotheses(run):
  found = {
    t.utterance_id: t.hypothesis
    for t in transcripts.read(run / 'transcripts.tsv')
  }
  assert any(found.values())  # The encoder is no silent one.
  return found


@pytest.fixture(scope='module')
def version(run):
  export_dir = run.parent / 'asr'
  export.export(run, export_dir, 'asr', 4, 60.0, [tflite.FLOAT16])
  return export_dir / '1'


def waveforms(config):
  """Held-out utterances by name, float32 `[samples]`."""
  store = client_store.ClientStore(config.eval_store)
  for client_id in store.client_ids:
    for record in store.records(client_id):
      pcm = tf.io.decode_raw(record['audio'], tf.int16)
      name = record['utterance_id'].numpy().decode()
      yield name, tf.cast(pcm, tf.float32) / 2**15


def test_the_run_has_the_encoder_and_its_layers(run):
  record = records.read(run)
  assert record.is_finished and record.rounds == 2
  encoder, vocabulary = model_folder.load(run)
  assert encoder.config == convolution_encoder.ConvolutionConfig(
    vocabulary.size, width=12, dropout=0.125
  )
  assert record.layers == encoder.layer_sizes()
  sizes = {w.shape.num_elements() for w in encoder.trainable_variables}
  assert set(record.layers.values()) == sizes
  norms = {n for n in training.rows(run)[0] if n.startswith('norm/')}
  assert norms >= {f'norm/{layer}' for layer in record.layers}
  model = json.loads((run / 'model' / 'model.json').read_text())
  assert model['kind'] == 'convolution'
  card = (run / 'model_card.md').read_text()
  assert 'one convolution, width 12' in card
  page = (run / 'report.html').read_text()
  run_report.again(run)
  assert (run / 'report.html').read_text() == page


def test_evaluate_finds_the_error_rates_of_the_run(run, config, hypotheses):
  wer = training.summary_of(run)['wer']
  text = evaluate.evaluate(run, config.eval_store, worst=0)
  assert f'{wer:.1%}' in text
  search = evaluate.Decoding(beam=4)
  assert 'WER' in evaluate.evaluate(run, config.eval_store, 0, None, search)
  encoder, vocabulary = model_folder.load(run)
  evaluator = evaluation.Evaluator(encoder, vocabulary)
  store = client_store.ClientStore(config.eval_store)
  found = evaluator.transcribe(evaluation.batches(store))
  assert {t.utterance_id: t.hypothesis for t in found} == hypotheses


def test_a_server_transcribes_as_evaluation_does(version, config, hypotheses):
  model = tf.saved_model.load(str(version))
  found = {}
  for name, waveform in waveforms(config):
    inputs = dict(waveform=waveform[None], lengths=tf.size(waveform)[None])
    served = model.signatures['serving_default'](**inputs)
    found[name] = served['text'][0].numpy().decode()
    seconds = waveform.shape[0] / 16_000
    logits = model.signatures['logits'](**inputs)
    # A frame of the output every 40 ms, and not every 30.
    assert int(logits['logit_lengths'][0]) == int((seconds - 0.015) / 0.04)
    assert seconds - 0.2 < served['token_ends'].numpy().max() <= seconds
  assert found == hypotheses


def test_a_phone_transcribes_as_evaluation_does(version, config, tmp_path):
  """The phone rounds weights: seeded ones, so that ties are not by chance."""
  store = client_store.ClientStore(config.eval_store)
  tf.keras.utils.set_random_seed(0)
  encoder = convolution_encoder.ConvolutionConfig(
    store.vocabulary.size, width=12
  ).build()
  path = tmp_path / 'float16.tflite'
  path.write_bytes(tflite.convert(encoder, tflite.FLOAT16))
  on_phone = tflite.load(path, store.vocabulary)
  names = [name for name, _ in waveforms(config)]
  found = dict(zip(names, map(on_phone, _sounds(config)), strict=True))
  evaluator = evaluation.Evaluator(encoder, store.vocabulary)
  expected = evaluator.transcribe(evaluation.batches(store))
  assert found == {t.utterance_id: t.hypothesis for t in expected}
  assert all(found.values())
  exported = version / 'assets.extra/float16.tflite'
  assert any(map(tflite.load(exported, store.vocabulary), _sounds(config)))


def _sounds(config):
  return [waveform.numpy() for _, waveform in waveforms(config)]


def test_a_run_resumes(run, config, tmp_path):
  copy = training.copied(run, tmp_path / 'run')
  training.run(
    config,
    copy,
    model=convolution_encoder.PRESET,
    regularisation={'dropout': 0.125},
    rounds=3,
  )
  assert records.read(copy).rounds == 3


def test_a_rate_that_the_encoder_has_not_is_refused(config, tmp_path):
  training.refused(
    config,
    tmp_path / 'run',
    'leave out `layer_drop=',
    model=convolution_encoder.PRESET,
    regularisation={'layer_drop': 0.1},
  )
  assert not (tmp_path / 'run').exists()


def test_an_encoder_that_is_not_registered_is_named(run, monkeypatch, config):
  monkeypatch.delitem(kinds.KINDS, 'convolution')
  for use in (
    lambda: model_folder.load(run),
    lambda: records.read(run).layers,
    lambda: evaluate.evaluate(run, config.eval_store, 0),
  ):
    with pytest.raises(errors.UserError, match="kind 'convolution'") as caught:
      use()
    assert '\n' not in str(caught.value)
