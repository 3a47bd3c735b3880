"""Measures one way of training a cohort, in a separate process.

`comparison.py` starts several such processes and lets them work in turn. All
run under the same load, and each has as many threads as it would have alone.  A
process trains the cohort once for each line of input, and answers with a line.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import dataclasses
import itertools
import json
import pathlib
import sys
import time

from tff_asr import garbage

if __name__ == '__main__':  # As in a command.
  garbage.pause()

import tensorflow as tf
import tensorflow_federated as tff

from tff_asr.benchmarks import keras_encoder
from tff_asr.corpora import batching, client_datasets, client_store
from tff_asr.learning import federated, training_step
from tff_asr.models import presets
from tff_asr.models.encoder import Encoder, EncoderConfig
from tff_asr.privacy import plans
from tff_asr.privacy.mechanism import gaussian, layer_clipping
from tff_asr.privacy.sampling import poisson
from tff_asr.programs import execution

LOOP = 'loop'  # Training steps on batches in memory; no federated learning.
STOCK_LOOP = 'stock_loop'  # The same steps with Keras' own layers.
NOISE = 'noise'  # Noise of a private round, added to a sum of updates.

LEARNING_RATE = 0.1
GRADIENT_CLIP = 1.0
SERVER_LEARNING_RATE = 1e-3
CLIP_NORM = 0.1
NOISE_MULTIPLIER = 1.0
_FEDERATED = federated.FederatedConfig(
  LEARNING_RATE, GRADIENT_CLIP, 'lamb', SERVER_LEARNING_RATE
)


@dataclasses.dataclass(frozen=True)
class SubjectConfig:
  """Configures the measured process.

  Attributes:
    runtime: `LOOP`, `STOCK_LOOP`, `NOISE` or one of `execution.EXECUTORS`.
    store: Folder of a client store.
    model: Name of a preset.
    cohort_size: Number of clients.
    different_clients: Number of different clients of the store, which are
      repeated in turn; all clients if None.
    rotates: Whether each round has the next clients of the store; otherwise all
      rounds have the same clients.
    blocks: Number of the model's blocks; as in the preset if None.
    private: Whether updates are clipped by layer, and noised.
    tff_loop: Whether clients iterate over their batches with TFF's default
      loop.
    batch_seconds: Audio in a batch of a client, in seconds.
    epochs: Number of epochs of a client.
    devices: Text of the setting `devices`.
    clients_per_device: Number of clients that train at once on each device.
  """

  runtime: str
  store: str
  model: str = 'small'
  cohort_size: int = 16
  different_clients: int | None = None
  rotates: bool = False
  blocks: int | None = None
  private: bool = False
  tff_loop: bool = False
  batch_seconds: float = 16.0
  epochs: int = 2
  devices: str = ''
  clients_per_device: int | None = None


def serve(config: SubjectConfig, started: float) -> None:
  """Trains the cohort once, and again for every line of standard input.

  Prints a JSON object each time: `seconds` (the first time since `started`) and
  `peak`, the peak memory of this process and its children so far, in bytes.

  Args:
    config: Configuration of the measurement.
    started: Start time of the process, by `time.time`.
  """
  garbage.resume()
  is_round = config.runtime in execution.EXECUTORS
  execute = execution.ExecutionConfig(
    config.runtime if is_round else execution.DEVICE,
    config.devices,
    config.clients_per_device,
  )
  selected = execute.select(trains_clients=is_round)
  store = client_store.ClientStore(pathlib.Path(config.store))
  clients = store.client_ids[: config.different_clients]
  cohorts = _cohorts(config, clients)
  if is_round:
    with execute.running(selected, store.client_seconds.__getitem__):
      answer_lines(_round(config, store, cohorts), started)
  elif config.runtime == NOISE:
    answer_lines(_noise(config, store), started)
  else:
    answer_lines(_loop(config, store, next(cohorts)), started)


def _cohorts(
  config: SubjectConfig, clients: Sequence[str]
) -> Iterator[list[str]]:
  """Yields the cohort of every round; clients take turns."""
  turns = itertools.cycle(clients)
  cohort = list(itertools.islice(turns, config.cohort_size))
  while True:
    yield cohort
    if config.rotates:
      cohort = list(itertools.islice(turns, config.cohort_size))


def answer_lines(train: Callable[[], None], started: float) -> None:
  """Calls `train` once, and again for every line of input, as `serve` does."""
  train()
  _answer(time.time() - started)
  for _ in sys.stdin:
    start = time.perf_counter()
    train()
    _answer(time.perf_counter() - start)


def _answer(seconds: float) -> None:
  print(json.dumps({'seconds': seconds, 'peak': _peak_memory()}), flush=True)


def _peak_memory() -> int:
  """Returns the peak memory of this process and its worker so far, in bytes.

  The result is the sum of the peaks of the processes. `getrusage` would also
  count the memory of a process before it became another program.
  """
  processes = [pathlib.Path('/proc/self')]
  for children in processes[0].glob('task/*/children'):
    processes += [
      pathlib.Path('/proc', c) for c in children.read_text().split()
    ]
  kilobytes = 0
  for process in processes:
    for line in (process / 'status').read_text().splitlines():
      if line.startswith('VmHWM:'):
        kilobytes += int(line.split()[1])
  return 1024 * kilobytes


def _model(config: SubjectConfig, store) -> EncoderConfig:
  model = presets.preset(config.model, store.vocabulary.size)
  if config.blocks:
    model = dataclasses.replace(model, blocks=config.blocks)
  return model


def _batches(config: SubjectConfig) -> batching.BatchConfig:
  return batching.BatchConfig(config.batch_seconds, config.epochs)


def _loop(config, store, cohort) -> Callable[[], None]:
  """Returns a function that trains the clients in order and keeps nothing."""
  model = _model(config, store)
  is_stock = config.runtime == STOCK_LOOP
  encoder = keras_encoder.build(model) if is_stock else model.build()
  batches = _batches(config)
  return plain_loop(
    encoder,
    [
      list(
        batching.client_batches(
          store.all_records(tf.constant(client_id), batches.limits),
          batches,
          tf.constant([0, number]),
        )
      )
      for number, client_id in enumerate(cohort)
    ],
  )


def plain_loop(
  encoder: Encoder, of_clients: Sequence[Sequence[Mapping[str, tf.Tensor]]]
) -> Callable[[], None]:
  """Returns a function that trains the clients in order and keeps nothing.

  Args:
    encoder: Encoder from which every client starts.
    of_clients: The batches of each client.
  """
  variables = encoder.trainable_variables
  initial = [tf.identity(variable) for variable in variables]

  @tf.function
  def restore():
    for variable, value in zip(variables, initial, strict=True):
      variable.assign(value)

  step = training_step.build(
    encoder,
    training_step.sgd(variables, LEARNING_RATE),
    gradient_clip=GRADIENT_CLIP,
    spec=batching.CLIENT_BATCH_SPEC,
  )

  def train():
    for of_client in of_clients:
      restore()
      for batch in of_client:
        step(batch)

  return train


def plan(cohort_size: int) -> plans.PrivacyPlan:
  """Returns the plan of a private round of all clients of a cohort."""
  return plans.PrivacyPlan(
    sampling=poisson.Poisson(population=cohort_size, cohort_size=cohort_size),
    mechanism=gaussian.Gaussian(
      clipping=layer_clipping.LayerClipping(CLIP_NORM),
      noise_multiplier=NOISE_MULTIPLIER,
    ),
    rounds=1,
    delta=1e-9,
  )


def _noise(config, store) -> Callable[[], None]:
  """Returns a function that only adds a round's noise to a sum of updates."""
  encoder = _model(config, store).build()
  query = plan(config.cohort_size).noised_sum(encoder.layer_sizes())
  total = query.initial_sample_state(
    [tf.TensorSpec(v.shape) for v in encoder.trainable_variables]
  )
  state = query.initial_global_state()

  @tf.function
  def noised(total):
    return query.get_noised_result(total, state)[0]

  def add():
    for tensor in noised(total):
      tensor.numpy()

  return add


def _round(config, store, cohorts) -> Callable[[], None]:
  """Returns a function that runs a round of federated averaging."""
  process = federated.build_learning_process(
    _model(config, store),
    _FEDERATED,
    plan(config.cohort_size) if config.private else None,
    loop=(
      tff.learning.LoopImplementation.DATASET_REDUCE
      if config.tff_loop
      else execution.ExecutionConfig(config.runtime).loop
    ),
  )
  batches = client_datasets.dataset_computation(
    store, _batches(config), portable=config.runtime == execution.NATIVE
  )
  return rounds_of(batches, process, cohorts)


def rounds_of(
  batches: tff.Computation,
  process: tff.learning.templates.LearningProcess,
  cohorts: Iterable[Sequence[str]],
) -> Callable[[], None]:
  """Returns a function that runs a round; the state goes to the next round.

  Args:
    batches: Computation from a client's name to its batches.
    process: The learning process.
    cohorts: Names of the clients of each round.
  """
  composed = tff.simulation.compose_dataset_computation_with_learning_process(
    batches, process
  )
  state = process.initialize()
  following = iter(cohorts)

  def train():
    nonlocal state
    state = composed.next(state, next(following)).state

  return train


if __name__ == '__main__':
  _settings = json.loads(sys.argv[1])
  serve(SubjectConfig(**_settings['config']), _settings['started'])
