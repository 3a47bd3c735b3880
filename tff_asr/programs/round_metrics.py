"""What is released of a round: figures by name."""

from collections.abc import Mapping
import math
from typing import Any

from tff_asr.privacy import plans
from tff_asr.privacy.accounting import ledger
from tff_asr.runs import columns


class RoundMetrics:
  """From TFF's metrics of a round to those that a run may release.

  The norm of the aggregate by layer, taken after the noise; bounds that follow
  noised counts; epsilon, from the ledger.  What is measured of clients without
  noise is released only where there is no plan, or, under names that say so,
  where the plan has it.
  """

  def __init__(
    self,
    layers: Mapping[str, int],
    plan: plans.PrivacyPlan | None,
    run_ledger: ledger.Ledger | None,
  ):
    """Takes the layers of the model, and plan and ledger if there are any."""
    self._layers = dict(layers)
    self._plan = plan
    self._prefix = columns.client_prefix(plan)
    self._ledger = run_ledger
    self.bounds: dict[str, float] = {}

  def __call__(
    self, metrics: Mapping[str, Any], seconds: float
  ) -> dict[str, Any]:
    """Returns the figures of a round.

    Args:
      metrics: From `federated.build_learning_process`.
      seconds: That the round took, which tells of those who took part.
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
    """Returns a duration of a round if it may be released."""
    if self._prefix is None:
      return {}
    return {self._prefix + name: seconds}
