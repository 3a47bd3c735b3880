"""Selects the metrics of a round that a run may release."""

from collections.abc import Mapping
import math
from typing import Any

from tff_asr.privacy import plans
from tff_asr.privacy.accounting import ledger
from tff_asr.runs import columns


class RoundMetrics:
  """Maps TFF's metrics of a round to the metrics that a run may release.

  Every run releases the norms of the aggregate by layer, measured after the
  noise is added.  With adaptive bounds, a run also releases the bounds, which
  follow noised counts.  Under a guarantee, a run also releases the epsilon of
  its ledger.

  Figures that are measured on clients without noise are released only without a
  plan, or if the plan allows unprotected metrics.  With a plan, their names say
  that they are unprotected.
  """

  def __init__(
    self,
    layers: Mapping[str, int],
    plan: plans.PrivacyPlan | None,
    run_ledger: ledger.Ledger | None,
  ):
    """Initializes the metrics.

    Args:
      layers: Sizes of the layers of the model, by name.
      plan: The privacy plan, or `None` without one.
      run_ledger: The ledger of the run, or `None` without a plan.
    """
    self._layers = dict(layers)
    self._plan = plan
    self._prefix = columns.client_prefix(plan)
    self._ledger = run_ledger
    self.bounds: dict[str, float] = {}

  def __call__(
    self, metrics: Mapping[str, Any], seconds: float
  ) -> dict[str, Any]:
    """Returns the released figures of a round, by name.

    Args:
      metrics: Metrics of the process of `federated.build_learning_process`.
      seconds: Duration of the round, which reveals information about its
        clients.
    """
    aggregator = metrics['aggregator']
    released = columns.by_layer(
      columns.NORM, self._layers, aggregator['layer_norms']
    )
    if self._prefix is not None:
      train, sums = metrics['client_work']['train'], aggregator['unprotected']
      clients = max(float(sums[columns.CLIENTS]), 1.0)
      figures = {
        columns.LOSS: float(train[columns.LOSS]),
        columns.UTTERANCES: float(train[columns.UTTERANCES]),
        columns.CLIENTS: float(sums[columns.CLIENTS]),
        columns.FAILED: float(sums[columns.FAILED]),
        columns.TRAINING: seconds,
        **columns.by_layer(
          columns.CLIENT_NORM, self._layers, sums['layer_norms'] / clients
        ),
      }
      released |= {
        self._prefix + name: value for name, value in figures.items()
      }
    if self._plan is None:
      return released
    self.bounds = self._plan.mechanism.released_bounds(self._layers, aggregator)
    released |= columns.by_layer(
      columns.BOUND, self.bounds, self.bounds.values()
    )
    if self._plan.is_guarantee:
      epsilons = self._ledger.epsilons(self._plan.delta)
      released[columns.EPSILON] = epsilons.best
      for name, value in (
        (columns.EPSILON_RDP, epsilons.rdp),
        (columns.EPSILON_PLD, epsilons.pld),
      ):
        released[name] = math.nan if value is None else value
    return released

  def timed(self, name: str, seconds: float) -> dict[str, float]:
    """Returns a duration of a round by name, or nothing if it is not released.

    Args:
      name: Name of the duration.
      seconds: The duration.
    """
    if self._prefix is None:
      return {}
    return {self._prefix + name: seconds}
