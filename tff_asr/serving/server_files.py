"""Files of TF Serving besides the model: warm-up requests and configuration."""

from collections.abc import Iterable
import io
import pathlib
import wave

from google.protobuf import text_format
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from tff_asr import durable
from tff_asr.audio import features

MODELS = 'models.config'
WARM_UP = 'tf_serving_warmup_requests'  # In `assets.extra`.
_WARM_UP_SECONDS = (1.0, 4.0, 12.0)
# https://github.com/tensorflow/serving, session_bundle_config.proto
_BATCHING = """# For --enable_batching --batching_parameters_file.
# Waveforms of a batch differ in length.
pad_variable_length_inputs: true
max_batch_size { value: 16 }
# How long a request waits for others.
batch_timeout_micros { value: 10000 }
max_enqueued_batches { value: 64 }
# A request of more than 16 utterances is refused, unless you add
#   enable_large_batch_splitting { value: true }
#   max_execution_batch_size { value: 16 }
"""


def request(
  name: str,
  signature: str,
  version: int | None = None,
  **inputs: np.ndarray | list[bytes],
) -> predict_pb2.PredictRequest:
  """Returns a request to a server.

  Args:
    name: Name of the model.
    signature: Name of the function.
    version: Version of the model; by default the newest version.
    **inputs: Arguments of the function.
  """
  message = predict_pb2.PredictRequest()
  message.model_spec.name = name
  message.model_spec.signature_name = signature
  if version is not None:
    message.model_spec.version.value = version
  for key, value in inputs.items():
    message.inputs[key].CopyFrom(tf.make_tensor_proto(value))
  return message


def write_warm_up(
  path: pathlib.Path, name: str, signatures: Iterable[str]
) -> None:
  """Writes requests that a server runs before it accepts requests of clients.

  Args:
    path: The file.
    name: Name of the model.
    signatures: Names of the model's functions, see `transcriber.Transcriber`.
  """
  rng = np.random.default_rng(0)
  with tf.io.TFRecordWriter(str(path)) as file:
    for seconds in _WARM_UP_SECONDS:
      samples = int(seconds * features.SAMPLE_RATE)
      pcm = rng.integers(-1_000, 1_000, samples, np.int16)
      for signature in signatures:
        if signature == 'wav':
          inputs = {'wav': [wav_file(pcm)]}
        else:
          inputs = {
            'waveform': pcm[None].astype(np.float32) / 2**15,
            'lengths': np.array([samples], np.int32),
          }
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(request(name, signature, **inputs))
        file.write(log.SerializeToString())


def wav_file(pcm: np.ndarray, rate: int = features.SAMPLE_RATE) -> bytes:
  """Returns a WAV file with one channel.

  Args:
    pcm: int16 `[samples]`.
    rate: Sample rate in Hz.
  """
  contents = io.BytesIO()
  with wave.open(contents, 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(rate)
    file.writeframes(pcm.astype('<i2').tobytes())
  return contents.getvalue()


def write_configuration(export_dir: pathlib.Path, name: str) -> None:
  """Writes `models.config` and `batching.config` if they do not exist.

  Args:
    export_dir: Folder with all versions; the server sees it as `/models/NAME`.
    name: Name of the model.
  """
  server = model_server_config_pb2.ModelServerConfig()
  model = server.model_config_list.config.add()
  model.name, model.base_path = name, f'/models/{name}'
  model.model_platform = 'tensorflow'
  # The server keeps the previous version, so that a client can return to it.
  model.model_version_policy.latest.num_versions = 2
  for file, contents in (
    (MODELS, text_format.MessageToString(server)),
    ('batching.config', _BATCHING),
  ):
    if not (export_dir / file).exists():
      durable.write_text(export_dir / file, contents)
