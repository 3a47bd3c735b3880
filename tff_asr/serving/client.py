"""Clients of a server or of an exported model in this process."""

import abc
from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import pathlib

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tff_asr import checksums, errors
from tff_asr.serving import server_files, versions

_SIGNATURE = 'serving_default'


@dataclasses.dataclass(frozen=True)
class Token:
  """A character or word piece of a hypothesis.

  Attributes:
    text: The character or word piece.
    start: Approximate start in seconds.
    end: Approximate end in seconds.
    confidence: Probability of the token.
  """

  text: str
  start: float
  end: float
  confidence: float


@dataclasses.dataclass(frozen=True)
class Transcript:
  """The hypothesis for an utterance.

  Attributes:
    text: Words of the hypothesis.
    confidence: Confidence between 0 and 1.
    tokens: Tokens of the text.
    error: Reason why there is no text; empty if there is no error.
  """

  text: str
  confidence: float
  tokens: tuple[Token, ...]
  error: str


def batch_of(utterances: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
  """Returns the inputs of a model for a batch.

  Args:
    utterances: int16 `[samples]` each, 16 kHz.

  Returns:
    waveform: float32 `[batch, samples]`, in [-1, 1], padded with zeros.
    lengths: int32 `[batch]`, in samples.
  """
  lengths = np.array([len(u) for u in utterances], np.int32)
  # A server that batches requests refuses a waveform of length 0.
  waveform = np.zeros([len(lengths), lengths.max(initial=1)], np.float32)
  for row, utterance in zip(waveform, utterances, strict=True):
    row[: len(utterance)] = utterance / np.float32(2**15)
  return {'waveform': waveform, 'lengths': lengths}


class Client(abc.ABC):
  """A client that transcribes utterances with a model."""

  def transcribe(self, utterances: Sequence[np.ndarray]) -> list[Transcript]:
    """Returns the transcripts of a batch.

    Args:
      utterances: One or more utterances, int16 `[samples]` each, 16 kHz.

    Raises:
      UserError: If the server does not answer, or the model is not from the
        export command.
    """
    return list(_transcripts(self._predict(batch_of(utterances))))

  @abc.abstractmethod
  def _predict(
    self, inputs: Mapping[str, np.ndarray]
  ) -> Mapping[str, np.ndarray]:
    """Returns the results of the model's signature `serving_default`."""


class LocalClient(Client):
  """A client that loads the model into this process."""

  def __init__(self, export_dir: pathlib.Path, version: int | None = None):
    """Loads a version of a model.

    Args:
      export_dir: Folder of all versions, or folder of a single version.
      version: Number of the version; by default the newest version.

    Raises:
      UserError: If the version does not exist, cannot be loaded, or was changed
        after it was written.
    """
    folder = versions.find(export_dir, version)
    checksums.check_all(folder)
    try:
      self._model = tf.saved_model.load(str(folder))
      self._function = self._model.signatures[_SIGNATURE]
    except (OSError, tf.errors.OpError, LookupError, ValueError) as error:
      raise errors.UserError(
        f'The model in {folder} cannot be loaded: {str(error).splitlines()[0]}'
      ) from error

  def _predict(self, inputs):
    found = self._function(
      **{name: tf.constant(value) for name, value in inputs.items()}
    )
    return {name: value.numpy() for name, value in found.items()}


class ServerClient(Client):
  """A client of a server, over gRPC."""

  def __init__(
    self,
    address: str,
    model_name: str,
    version: int | None = None,
    timeout_seconds: float = 60.0,
  ):
    """Creates a client, which connects at the first request.

    Args:
      address: Address of the server, `host:port`.
      model_name: Name of the model at the server.
      version: Version of the model; by default the newest version.
      timeout_seconds: Longest time to wait for an answer, in seconds.

    Raises:
      UserError: If `address` is not `host:port`, or the time is not positive
        and finite.
    """
    _, _, port = address.rpartition(':')
    if not (port.isdecimal() and 0 < int(port) < 2**16):
      raise errors.UserError(
        f'`server={address}` must be host:port, such as localhost:8500.'
      )
    errors.require_positive(timeout_seconds=timeout_seconds)
    self._address = address
    self._model = model_name, _SIGNATURE, version
    self._timeout = timeout_seconds
    channel = grpc.insecure_channel(
      address, options=[('grpc.max_receive_message_length', -1)]
    )
    self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

  def _predict(self, inputs):
    try:
      answer = self._stub.Predict(
        server_files.request(*self._model, **inputs), timeout=self._timeout
      )
    except grpc.RpcError as error:
      raise errors.UserError(
        f'The server at {self._address} gave no transcript:'
        f' {error.code().name}, {error.details()}'
      ) from error
    return {
      name: tf.make_ndarray(value) for name, value in answer.outputs.items()
    }


def _transcripts(found: Mapping[str, np.ndarray]) -> Iterator[Transcript]:
  columns = ('tokens', 'token_starts', 'token_ends', 'token_confidences')
  missing = {'text', 'confidence', 'error', *columns} - found.keys()
  if missing:
    raise errors.UserError(
      'The model does not give'
      f' {", ".join(sorted(missing))}: use a model from the export command.'
    )
  for row, text in enumerate(found['text']):
    tokens = (
      Token(token.decode(), float(start), float(end), float(confidence))
      for token, start, end, confidence in zip(
        *(found[name][row] for name in columns), strict=True
      )
      if start >= 0
    )
    yield Transcript(
      text.decode(),
      float(found['confidence'][row]),
      tuple(tokens),
      found['error'][row].decode(),
    )
