"""Measures training of small clients whose features are in memory.

The process follows the protocol of `subject.py`.  `peer_pfl.py` does the same
work in pfl-research.
"""

import collections
import dataclasses
import itertools
import json
import sys

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_asr import compat
from tff_asr.audio import features
from tff_asr.benchmarks import subject
from tff_asr.corpora import batching
from tff_asr.learning import federated
from tff_asr.models import presets
from tff_asr.models.encoder import EncoderConfig
from tff_asr.programs import execution

_FEDERATED = federated.FederatedConfig(
  subject.LEARNING_RATE,
  subject.GRADIENT_CLIP,
  'adam',
  subject.SERVER_LEARNING_RATE,
)


@dataclasses.dataclass(frozen=True)
class Work:
  """Configures a cohort of small clients, and the encoder that they train.

  Each client takes one epoch of SGD steps with clipped gradients.  The server
  clips the updates, adds noise and takes a step of Adam.

  Attributes:
    clients: Number of clients, all in each round.
    utterances: Number of utterances of a client.
    width: Size of the vectors between blocks.
    blocks: Number of transformer blocks.
    mlp_width: Size of the hidden layer inside a block.
    heads: Number of attention heads.
    frames: Feature frames of an utterance.
    tokens: Tokens of an utterance.
    batch: Utterances in a batch.
    mel_bands: Bands of a feature frame.
    vocabulary_size: Number of outputs, the blank included.
    learning_rate: Learning rate of SGD on the clients.
    gradient_clip: Greatest L2 norm of a client's gradient.
    server_learning_rate: Learning rate of Adam on the server.
    clip_norm: Clip norm of updates.
    noise_multiplier: Size of the noise.
  """

  clients: int
  utterances: int
  width: int
  blocks: int
  mlp_width: int
  heads: int = 4
  frames: int = 300
  tokens: int = 40
  batch: int = 2
  mel_bands: int = features.MEL_BANDS
  vocabulary_size: int = 30
  learning_rate: float = subject.LEARNING_RATE
  gradient_clip: float = subject.GRADIENT_CLIP
  server_learning_rate: float = subject.SERVER_LEARNING_RATE
  clip_norm: float = subject.CLIP_NORM
  noise_multiplier: float = subject.NOISE_MULTIPLIER

  @property
  def encoder(self) -> EncoderConfig:
    """Sizes of the encoder, which is like the paper's, without dropout."""
    return dataclasses.replace(
      presets.preset('paper', self.vocabulary_size),
      blocks=self.blocks,
      width=self.width,
      heads=self.heads,
      mlp_width=self.mlp_width,
      dropout=0.0,
      layer_drop=0.0,
      augmentation=None,
      max_shift_seconds=0.0,
    )


@dataclasses.dataclass(frozen=True)
class SmallConfig:
  """Configures the measured process.

  Attributes:
    way: `subject.LOOP` or one of `execution.EXECUTORS`.
    work: The cohort and the encoder.
  """

  way: str
  work: Work


def serve(config: SmallConfig, started: float) -> None:
  """Trains the cohort once, and again for every line of standard input.

  Args:
    config: Configuration of the measurement.
    started: Start time of the process, by `time.time`.
  """
  work = config.work
  is_round = config.way in execution.EXECUTORS
  execute = execution.ExecutionConfig(
    config.way if is_round else execution.DEVICE
  )
  selected = execute.select(trains_clients=is_round)
  if not is_round:
    train = subject.plain_loop(work.encoder.build(), _all_batches(work))
    subject.answer_lines(train, started)
    return
  process = federated.build_learning_process(
    work.encoder, _FEDERATED, subject.plan(work.clients), loop=execute.loop
  )
  cohort = [str(number) for number in range(work.clients)]
  with execute.running(selected, lambda client_id: 1.0):
    train = subject.rounds_of(
      _dataset_computation(work), process, itertools.repeat(cohort)
    )
    subject.answer_lines(train, started)


def _utterances(work: Work) -> tuple[np.ndarray, np.ndarray]:
  """Returns features and tokens of all clients, one batch after the other."""
  rng = np.random.default_rng(0)
  size = work.clients, work.utterances // work.batch, work.batch
  return (
    rng.standard_normal([*size, work.frames, work.mel_bands], np.float32),
    rng.integers(1, work.vocabulary_size, [*size, work.tokens], np.int32),
  )


def _batch(work: Work, log_mel, tokens, seed) -> collections.OrderedDict:
  """Returns a batch, with elements as in `batching.CLIENT_BATCH_SPEC`."""
  return collections.OrderedDict(
    features=log_mel,
    frames=tf.fill([work.batch], work.frames),
    tokens=tokens,
    token_lengths=tf.fill([work.batch], work.tokens),
    seed=seed,
  )


def _all_batches(work: Work) -> list[list[collections.OrderedDict]]:
  """Returns the batches of every client."""
  log_mel, tokens = map(tf.constant, _utterances(work))
  return [
    [
      _batch(work, log_mel[i, j], tokens[i, j], tf.constant([i, j]))
      for j in range(work.utterances // work.batch)
    ]
    for i in range(work.clients)
  ]


def _dataset_computation(work: Work) -> tff.Computation:
  """Returns the computation from a client's number to its batches."""
  log_mel, tokens = _utterances(work)

  def of_client(name):
    number = tf.strings.to_number(name, tf.int32)
    own_log_mel = tf.constant(log_mel)[number]
    own_tokens = tf.constant(tokens)[number]

    def batch(index):
      index = tf.cast(index, tf.int32)
      elements = _batch(
        work, own_log_mel[index], own_tokens[index], tf.stack([number, index])
      )
      # Clients' batches have types of unknown sizes.
      return collections.OrderedDict(
        (name, _relaxed(elements[name], spec))
        for name, spec in batching.CLIENT_BATCH_SPEC.items()
      )

    return tf.data.Dataset.range(work.utterances // work.batch).map(batch)

  return compat.tf_computation(of_client, np.str_)


def _relaxed(tensor: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
  return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=spec.shape)


if __name__ == '__main__':
  _settings = json.loads(sys.argv[-1])
  _config = _settings['config']
  serve(
    SmallConfig(_config['way'], Work(**_config['work'])), _settings['started']
  )
