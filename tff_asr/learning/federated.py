"""Builds the federated learning process.

The process is Algorithm 1 of Pelikan et al. (2025, arXiv 2310.00098), built of
TFF's own parts.  Each client of the cohort starts from the server's weights and
takes SGD steps with clipped gradients.  The updates are clipped by layers,
summed, noised and divided by the expected cohort size.  The server takes a LAMB
step along the result.

`tests/learning/algorithm_1.py` writes the same round on one page, in plain
TensorFlow and NumPy.  `tests/learning/algorithm_1_test.py` compares the two.
`tff_asr/programs/program_logic.py` calls the steps of a round.  These files
contain the steps, in their order; a default run skips the steps in brackets:

```
draw the cohort          tff_asr/privacy/sampling/poisson.py
                         tff_asr/privacy/sampling/samplers.py
read each client's data  tff_asr/corpora/client_datasets.py
make its batches         tff_asr/corpora/batching.py
compute the loss         tff_asr/learning/speech_model.py
clip its gradient        tff_asr/optimizers/gradient_clipping.py
take an SGD step         TFF's client work
set the layers' bounds   tff_asr/privacy/mechanism/layer_clipping.py
                         tff_asr/privacy/mechanism/bounds.py
clip an update by layers tff_asr/privacy/mechanism/clipping.py
sum the updates          tff_asr/privacy/mechanism/aggregation.py
choose the query         tff_asr/privacy/mechanism/gaussian.py
draw the noise's seeds   tff_asr/privacy/mechanism/noise_seeds.py
scale the noise          tff_asr/privacy/mechanism/allocation.py
add the noise            tff_asr/privacy/mechanism/gaussian_query.py
                         tff_asr/privacy/mechanism/discrete_gaussian.py
(adapt the bounds)       tff_asr/privacy/mechanism/adaptive_query.py
divide by the cohort     tff_asr/privacy/mechanism/mechanism_protocol.py
step on the server       tff_asr/optimizers/lamb.py
                         (or tff_asr/optimizers/lars.py)
record the round         tff_asr/programs/recorded_rounds.py
                         tff_asr/privacy/accounting/ledger.py
```
"""

import dataclasses
import itertools

import tensorflow_federated as tff

from tff_asr import errors
from tff_asr.corpora import batching
from tff_asr.learning import measurements, private_process, speech_model
from tff_asr.models import precision
from tff_asr.models.encoder import EncoderConfig
from tff_asr.optimizers import gradient_clipping, lamb, lars, schedules
from tff_asr.privacy import plans

SERVER_OPTIMIZERS = {
  'lamb': lamb.build_lamb,
  'lars': lars.build_lars,
  'adam': tff.learning.optimizers.build_adam,
  'sgd': tff.learning.optimizers.build_sgdm,
}


@dataclasses.dataclass(frozen=True)
class FederatedConfig:
  """Optimizers of a federated run.

  Attributes:
    client_learning_rate: Learning rate of SGD on the clients.
    client_gradient_clip: Greatest L2 norm of a client's gradient.
    server_optimizer: A name in `SERVER_OPTIMIZERS`.
    server_learning_rate: Learning rate of the server's optimizer.
    server_schedule: Share of the server's learning rate in each round.  A step
      of the schedule is a round.

  Raises:
    UserError: If a number is not positive and finite.
  """

  client_learning_rate: float
  client_gradient_clip: float
  server_optimizer: str
  server_learning_rate: float
  server_schedule: schedules.Schedule = schedules.UNCHANGED

  def __post_init__(self):
    errors.require_positive(
      client_learning_rate=self.client_learning_rate,
      client_gradient_clip=self.client_gradient_clip,
      server_learning_rate=self.server_learning_rate,
    )


def server_optimizer(
  config: FederatedConfig,
) -> tff.learning.optimizers.Optimizer:
  """Returns the server's optimizer; round t takes step t of the schedule.

  A round does not count if its update is rejected because it is not finite.
  """
  optimizer = SERVER_OPTIMIZERS[config.server_optimizer](
    config.server_learning_rate
  )
  if config.server_schedule.is_constant:
    return optimizer
  return tff.learning.optimizers.schedule_learning_rate(
    optimizer,
    lambda done: (
      config.server_learning_rate * config.server_schedule.share(done + 1)
    ),
  )


def build_learning_process(
  model_config: EncoderConfig,
  config: FederatedConfig,
  plan: plans.PrivacyPlan | None,
  precision_name: str = precision.FLOAT32,
  loop: tff.learning.LoopImplementation = private_process.DEVICE_LOOP,
) -> tff.learning.templates.LearningProcess:
  """Builds federated averaging for a speech model.

  `next` maps the server's state and the cohort's datasets of batches
  (`batching.CLIENT_BATCH_SPEC`) to a new state and metrics.  The metrics
  contain the norm of the aggregate by layer, measured after the noise.  They
  contain measurements of clients without noise only without a privacy plan, or
  if the plan sets `unprotected_metrics`.

  Args:
    model_config: Settings of the encoder.
    config: Optimizers of the clients and the server.
    plan: Privacy plan that builds the aggregation, or `None` for a plain mean
      over the clients that answer.
    precision_name: Number format that clients compute in, one of
      `precision.NAMES`.
    loop: TFF's implementation of the loop over a client's batches; the default
      is the faster one on the device executor.
  """
  unprotected = plan is None or plan.unprotected_metrics
  builds = itertools.chain(
    [model_config.build], itertools.repeat(model_config.build_zero)
  )

  def model_fn():
    # The first model gives the initial state.  The others take its weights.
    build = next(builds)
    return speech_model.SpeechModel(
      build(precision_name),
      batching.CLIENT_BATCH_SPEC,
    )

  if plan is None:
    aggregation = tff.aggregators.UnweightedMeanFactory()
  else:
    aggregation = plan.aggregation_factory(model_config.layer_sizes())
  return tff.learning.algorithms.build_unweighted_fed_avg(
    model_fn,
    client_optimizer_fn=gradient_clipping.build_gradient_clipping(
      tff.learning.optimizers.build_sgdm(config.client_learning_rate),
      config.client_gradient_clip,
    ),
    server_optimizer_fn=server_optimizer(config),
    model_aggregator=tff.aggregators.add_measurements(
      aggregation,
      client_measurement_fn=(
        measurements.unprotected_sums if unprotected else None
      ),
      server_measurement_fn=measurements.norms_of_aggregate,
    ),
    metrics_aggregator=None if unprotected else private_process.no_metrics,
    loop_implementation=loop,
  )
