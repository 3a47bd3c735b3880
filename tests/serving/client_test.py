"""Clients of a server, against a server that has the exported model."""

from concurrent import futures
import shutil

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
  predict_pb2,
  prediction_service_pb2_grpc,
)

from tff_asr import checksums, errors
from tff_asr.serving import client, versions


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
  """What TF Serving does with a request, for one version of one model."""

  def __init__(self, folder):
    self._version = int(folder.name)
    self._model = tf.saved_model.load(str(folder))

  def Predict(self, request, context):  # noqa: N802
    spec = request.model_spec
    wanted = spec.version.value or self._version
    if (spec.name, wanted) != ('asr', self._version):
      context.abort(
        grpc.StatusCode.NOT_FOUND,
        f'Servable not found for request: Specific({spec.name}, {wanted})',
      )
    inputs = {
      name: tf.constant(tf.make_ndarray(value))
      for name, value in request.inputs.items()
    }
    answer = predict_pb2.PredictResponse()
    found = self._model.signatures[spec.signature_name](**inputs)
    for name, value in found.items():
      answer.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return answer


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
  """Where one is set, gRPC would ask it for this machine."""
  monkeypatch.setenv('no_grpc_proxy', 'localhost')


@pytest.fixture(scope='module')
def address(export_dir):
  server = grpc.server(futures.ThreadPoolExecutor(2))
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
    Service(versions.find(export_dir)), server
  )
  port = server.add_insecure_port('localhost:0')
  server.start()
  yield f'localhost:{port}'
  server.stop(None).wait()


def test_a_server_answers_as_the_model_in_this_process(
  address, export_dir, sounds
):
  too_long = np.zeros(48_001, np.int16)
  batch = [*sounds, np.zeros(0, np.int16), too_long]
  here = client.LocalClient(export_dir).transcribe(batch)
  there = client.ServerClient(address, 'asr').transcribe(batch)
  assert here == there
  *heard, nothing, last = there
  assert all(t.text and not t.error for t in heard)
  assert (nothing.text, nothing.error, nothing.tokens) == ('', '', ())
  assert last.error == 'longer than 3 s'
  for transcript in heard:
    joined = ''.join(token.text for token in transcript.tokens)
    assert ' '.join(joined.split()) == transcript.text


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(model_name='other'), 'NOT_FOUND.*other'),
    (dict(version=99), 'NOT_FOUND.*99'),
    (dict(address='localhost:1'), 'UNAVAILABLE'),
    (dict(address='localhost:x'), 'must be host:port'),
    (dict(address='localhost'), 'must be host:port'),
    (dict(address='localhost:99999'), 'must be host:port'),
    (dict(timeout_seconds=-1.0), 'timeout_seconds'),
  ],
)
def test_a_server_that_has_no_answer_is_named(
  address, sounds, changes, message
):
  settings = {'address': address, 'model_name': 'asr', **changes}
  with pytest.raises(errors.UserError, match=message):
    client.ServerClient(**settings).transcribe(sounds)


def test_a_model_of_others_is_named(export_dir, sounds, monkeypatch):
  here = client.LocalClient(export_dir)
  monkeypatch.setattr(here, '_predict', lambda _: {'scores': np.zeros(3)})
  with pytest.raises(errors.UserError, match='does not give confidence'):
    here.transcribe(sounds)


def test_a_damaged_model_is_named(export_dir, tmp_path):
  (tmp_path / '3').mkdir()
  (tmp_path / '3' / 'saved_model.pb').write_bytes(b'\xff' * 99)
  with pytest.raises(errors.UserError, match='3 cannot be loaded'):
    client.LocalClient(tmp_path)
  shutil.copytree(versions.find(export_dir), tmp_path / '4')
  (data,) = (tmp_path / '4/variables').glob('*.data*')
  data.write_bytes(data.read_bytes()[:500])
  with pytest.raises(errors.UserError, match=f'{data} is not as it was'):
    client.LocalClient(tmp_path)
  (tmp_path / '4' / checksums.NAME).unlink()  # As of an earlier release.
  with pytest.raises(errors.UserError, match='4 cannot be loaded'):
    client.LocalClient(tmp_path)
