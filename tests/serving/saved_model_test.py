"""An exported model needs TensorFlow, and nothing else."""

import json
import pathlib
import subprocess
import sys

from google.protobuf import text_format
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from tests.serving import conftest
from tff_asr.serving import saved_model, server_files

# Runs elsewhere, with TensorFlow alone on its path.
_ELSEWHERE = """
import json, sys

class Refused:
  def find_spec(self, name, *_):
    if name.partition('.')[0] in (
      'tff_asr', 'tensorflow_io', 'tensorflow_federated', 'sentencepiece',
      'tensorflow_serving',
    ):
      raise ImportError(f'{name} is not to be had here')

sys.meta_path.insert(0, Refused())
sys.path[:] = json.loads(sys.argv[2])
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
requests = np.load(sys.argv[3])
found = {}
for name, function in model.signatures.items():
  names = ('wav',) if name == 'wav' else ('waveform', 'lengths')
  inputs = {n: tf.constant(requests[n]) for n in names}
  if name == 'wav':
    inputs = {'wav': tf.constant([requests['wav'].tobytes()])}
  answer = function(**inputs)
  if 'text' in answer:
    found[name] = [t.decode() for t in answer['text'].numpy()]
  else:
    found[name] = answer['logits'].shape.as_list()
try:
  import tff_asr
except ImportError:
  print(json.dumps(found))
"""


def test_it_is_loaded_where_there_is_only_tensorflow(
  served, export_dir, sounds, tmp_path
):
  inputs = conftest.padded(sounds)
  file = server_files.wav_file(sounds[0])
  np.savez(
    tmp_path / 'requests.npz', **inputs, wav=np.frombuffer(file, np.uint8)
  )
  root = pathlib.Path(saved_model.__file__).parents[2]
  paths = [p for p in sys.path if p and pathlib.Path(p).resolve() != root]
  (tmp_path / 'empty').mkdir()
  arguments = [export_dir / '1', json.dumps(paths), tmp_path / 'requests.npz']
  process = subprocess.run(
    [sys.executable, '-I', '-c', _ELSEWHERE, *map(str, arguments)],
    cwd=tmp_path / 'empty',
    env={'TF_CPP_MIN_LOG_LEVEL': '3'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert process.returncode == 0, process.stderr
  found = json.loads(process.stdout.splitlines()[-1])
  expected = served.functions['serving_default'](**inputs)['text'].numpy()
  texts = [t.decode() for t in expected]
  assert found['serving_default'] == texts and all(texts)
  assert found['wav'] == texts[:1]
  assert found['logits'][0] == 3 and found['logits'][2] == 30
  assert len(found['beam']) == 3


def test_the_server_warms_up_with_every_signature(export_dir):
  path = export_dir / '1/assets.extra/tf_serving_warmup_requests'
  model = tf.saved_model.load(str(export_dir / '1'))
  warmed = set()
  for record in tf.data.TFRecordDataset(str(path)):
    log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
    request = log.predict_log.request
    assert request.model_spec.name == 'asr'
    signature = request.model_spec.signature_name
    answer = model.signatures[signature](
      **{
        name: tf.constant(tf.make_ndarray(value))
        for name, value in request.inputs.items()
      }
    )
    too_long = b'longer than 3 s'
    assert set(answer['error'].numpy()) <= {b'', too_long}
    warmed.add(signature)
  assert warmed == set(model.signatures)


def test_what_a_server_is_started_with(export_dir, served, encoder):
  config = model_server_config_pb2.ModelServerConfig()
  path = export_dir / 'models.config'
  text_format.Parse(path.read_text(), config)
  (model,) = config.model_config_list.config
  assert (model.name, model.base_path) == ('asr', '/models/asr')
  assert (
    'pad_variable_length_inputs: true'
    in (export_dir / 'batching.config').read_text()
  )
  assert (export_dir / '1/assets/note.txt').read_text() == 'hello'
  path.write_text('# mine\n')
  saved_model.export(served, export_dir, 'asr', {}, {})
  assert path.read_text() == '# mine\n'
  assert (export_dir / '2' / 'saved_model.pb').is_file()
