"""Builds federated averaging whose outputs a plan's guarantee covers.

TFF's own builders return, beside a private model, the clients' training metrics
of each round: sums without noise.  The process of this module returns none.
"""

from collections.abc import Callable, Mapping

import tensorflow_federated as tff

from tff_asr import compat
from tff_asr.privacy import plans

# The device executor turns a reduction of a dataset into a loop without an
# iterator.  TFF's runtime compiles a reduction again for each client.
DEVICE_LOOP = tff.learning.LoopImplementation.DATASET_REDUCE
NATIVE_LOOP = tff.learning.LoopImplementation.DATASET_ITERATOR


def build_private_fed_avg(
  model_fn: Callable[[], tff.learning.models.VariableModel]
  | tff.learning.models.FunctionalModel,
  plan: plans.PrivacyPlan,
  client_optimizer: tff.learning.optimizers.Optimizer,
  server_optimizer: tff.learning.optimizers.Optimizer,
  layers: Mapping[str, int] | None = None,
  loop: tff.learning.LoopImplementation = DEVICE_LOOP,
) -> tff.learning.templates.LearningProcess:
  """Builds federated averaging for any model, without client metrics.

  The plan's guarantee covers the states and metrics of all rounds on two
  conditions.  Each round gets the cohort that `plan.cohorts` draws.  The plan's
  ledger records each round before anybody sees its output.

  Args:
    model_fn: Argument of TFF's `build_unweighted_fed_avg`.  Variables of the
      model that are not trainable keep their values.
    plan: Privacy plan that builds the aggregation.
    client_optimizer: Optimizer of the clients.
    server_optimizer: Optimizer of the server.
    layers: Sizes of the trainable tensors by name, in the order of the model.
      Needed if the bounds are given by name, or if layers are blocks.
    loop: TFF's implementation of the loop over a client's batches; the default
      is the faster one on the device executor.
  """
  return tff.learning.algorithms.build_unweighted_fed_avg(
    model_fn,
    client_optimizer_fn=client_optimizer,
    server_optimizer_fn=server_optimizer,
    model_aggregator=plan.aggregation_factory(layers),
    metrics_aggregator=no_metrics,
    loop_implementation=loop,
  )


def no_metrics(finalizers, metrics_type=None) -> tff.Computation:
  """Returns a computation that releases none of the clients' metrics.

  The function is a value for TFF's argument `metrics_aggregator`.
  """
  del finalizers, metrics_type

  @tff.federated_computation
  def nothing(metrics):
    del metrics
    return compat.federated_value((), tff.SERVER)

  return nothing
