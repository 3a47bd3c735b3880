"""Federated averaging whose outputs the guarantee of a plan covers.

TFF's own builders hand out the training metrics of the clients of a round, sums
without noise, beside a model that is private.  A process from here has none.
"""

from collections.abc import Callable, Mapping

import tensorflow_federated as tff

from tff_asr import compat
from tff_asr.privacy import plans

# A function that reduces a dataset is compiled anew for each client.
DEFAULT_LOOP = tff.learning.LoopImplementation.DATASET_ITERATOR


def build_private_fed_avg(
  model_fn: Callable[[], tff.learning.models.VariableModel]
  | tff.learning.models.FunctionalModel,
  plan: plans.PrivacyPlan,
  client_optimizer: tff.learning.optimizers.Optimizer,
  server_optimizer: tff.learning.optimizers.Optimizer,
  layers: Mapping[str, int] | None = None,
  loop: tff.learning.LoopImplementation = DEFAULT_LOOP,
) -> tff.learning.templates.LearningProcess:
  """Builds federated averaging for any model, without client metrics.

  The plan covers states and metrics of all rounds if each round is given the
  cohort that `plan.cohorts` draws, and is recorded in the plan's ledger before
  anybody sees its output.

  Args:
    model_fn: As TFF's `build_unweighted_fed_avg` takes it.  A model's
      variables that are not trainable stay as they are.
    plan: The privacy plan.
    client_optimizer: Of the clients.
    server_optimizer: Of the server.
    layers: Sizes of the trainable tensors by name, in the order of the model;
      needed where bounds are given by name, or layers are blocks.
    loop: How clients go through their batches.
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
  """Returns a computation that releases nothing of the clients' metrics.

  For TFF's argument `metrics_aggregator`.
  """
  del finalizers, metrics_type

  @tff.federated_computation
  def nothing(metrics):
    del metrics
    return compat.federated_value((), tff.SERVER)

  return nothing
