"""Defines the interface of a mechanism."""

import abc
from collections.abc import Mapping
import dataclasses
from typing import Any, ClassVar, Protocol, Self

import dp_accounting
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from tff_asr import errors
from tff_asr.privacy.mechanism import (
  aggregation,
  allocation,
  layer_clipping,
)


class NoiseNorms(Protocol):
  """Computes the norms of the noise in a run's rounds, from public values."""

  def of_round(
    self, bounds: Mapping[str, float] | None = None
  ) -> Mapping[str, float]:
    """Returns the root mean square norm of the noise in the mean, by tensor.

    Args:
      bounds: Bounds of the round from `Mechanism.released_bounds`; by default
        the bounds of the first round.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mechanism(abc.ABC):
  """Clips and aggregates client updates, and adds noise.

  To add a mechanism, write a subclass and add it to `mechanisms.MECHANISMS`.
  The subclass refuses the values of settings that it does not implement, in
  `__post_init__`.

  Class attributes:
    name: Value of the setting `mechanism`.
    help: The mechanism in words, for the help of that setting.
    assumed: Assumption on the party that runs the mechanism, in words.

  Attributes:
    clipping: Settings of the clipping of updates.
    noise_multiplier: Standard deviation z of the noise on the sum, divided by
      the clip norm C, for all releases of a round together.  Zero means no
      guarantee.  `None` means that the noise is not yet calibrated.
    noise_allocation: Division of the noise over layers, see `allocation`.
    insecure_noise_seed: Seed of repeatable noise, for debugging only.  With a
      seed there is no guarantee.

  Raises:
    UserError: If a value is out of its range, or the noise would not cover the
      contribution of a clipped client.
  """

  name: ClassVar[str]
  help: ClassVar[str]
  assumed: ClassVar[str] = (
    'the party that adds up the updates applies clipping and noise as planned'
  )

  clipping: layer_clipping.LayerClipping
  noise_multiplier: float | None
  noise_allocation: str = allocation.EQUAL
  insecure_noise_seed: int | None = None

  def __post_init__(self):
    errors.require(
      isinstance(self.clipping, layer_clipping.LayerClipping),
      f'`clipping={self.clipping}` must be a LayerClipping.',
    )
    errors.require(
      self.noise_multiplier is None
      or allocation.is_noise_multiplier(self.noise_multiplier),
      f'`noise_multiplier={self.noise_multiplier}` must be from'
      f' {allocation.LEAST_NOISE_MULTIPLIER:g} to'
      f' {allocation.GREATEST_NOISE_MULTIPLIER:g}, or 0 for none.',
    )
    errors.require(
      self.noise_allocation in allocation.NAMES,
      f'`noise_allocation={self.noise_allocation}` must be one of'
      f' {allocation.NAMES}.',
    )
    errors.require(
      self.clipping.covers(self.noise_allocation),
      '`mode=normalise` bounds the whole update, not each layer:'
      f' `noise_allocation={self.noise_allocation}` would not cover the update.'
      ' Use `noise_allocation=equal`.',
    )

  @property
  def is_private(self) -> bool:
    """Whether the noise is, or will be, fresh and greater than zero."""
    return self.noise_multiplier != 0.0 and self.insecure_noise_seed is None

  def with_noise(self, noise_multiplier: float) -> Self:
    """Returns this mechanism with another noise multiplier."""
    return dataclasses.replace(self, noise_multiplier=noise_multiplier)

  def check_answers(  # noqa: B027  No mechanism must.
    self, over_selection: float, client_drop_out: float
  ) -> None:
    """Raises a `UserError` if too few clients would answer.

    Args:
      over_selection: Selected clients for each client of the expected cohort.
      client_drop_out: Probability that a selected client does not answer.
    """

  @abc.abstractmethod
  def event(self, contributions: float) -> dp_accounting.DpEvent:
    """Returns the privacy event of one participation.

    Args:
      contributions: Largest difference between the sums of neighbours, in
        contributions of a client, see `sampling_protocol.Scheme`.
    """

  @abc.abstractmethod
  def noised_sum(
    self, layers: Mapping[str, int], expected_cohort: float
  ) -> tfp.SumAggregationDPQuery:
    """Returns the query: clip, sum, add noise.

    Args:
      layers: Number of coordinates of each tensor of an update by its name, in
        the order of the update.
      expected_cohort: Expected number of clients in a round.

    Raises:
      UserError: If the settings do not fit the layers.
    """

  def query(
    self, layers: Mapping[str, int], expected_cohort: float
  ) -> tfp.DPQuery:
    """Returns the query: clip, sum, add noise, divide by the expected cohort.

    Args:
      layers: As for `noised_sum`.
      expected_cohort: As for `noised_sum`.

    Raises:
      UserError: As `noised_sum`.
    """
    return tfp.NormalizedQuery(
      self.noised_sum(layers, expected_cohort), expected_cohort
    )

  def aggregation_factory(
    self, layers: Mapping[str, int] | None, expected_cohort: float
  ) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns the aggregation of client updates.

    Args:
      layers: As for `noised_sum`; they must agree with the type of the updates.
        By default, the layers of that type.
      expected_cohort: As for `noised_sum`.
    """
    return aggregation.PrivateAggregation(
      lambda found: self.query(found, expected_cohort), layers
    )

  def released_bounds(
    self, layers: Mapping[str, int], measurements: Mapping[str, Any]
  ) -> dict[str, float]:
    """Returns the bounds of the next round, if the mechanism adapts bounds.

    Args:
      layers: As for `noised_sum`.
      measurements: Measurements of the aggregation, which are public.

    Returns:
      Bounds by layer group; empty for a mechanism without adaptive bounds.
    """
    del layers, measurements
    return {}

  @abc.abstractmethod
  def noise_norms(
    self, layers: Mapping[str, int], expected_cohort: float
  ) -> NoiseNorms:
    """Returns the estimate of the noise by tensor, for the report.

    Args:
      layers: As for `noised_sum`.
      expected_cohort: As for `noised_sum`.
    """

  def clipping_in_words(self) -> str:
    """Describes the clipping in words, as the mechanism does it."""
    return str(self.clipping)

  @abc.abstractmethod
  def noise_in_words(self) -> str:
    """Describes the noise in words."""

  def facts(self) -> dict[str, Any]:
    """Returns the settings of the mechanism, as the ledger records them."""
    return dataclasses.asdict(self)

  @classmethod
  def recorded(cls, facts: Mapping[str, Any]) -> Self:
    """Returns the mechanism with recorded settings.

    Args:
      facts: The settings from `facts`.

    Raises:
      KeyError, TypeError, ValueError: If this release cannot read the settings.
    """
    clipping = dict(facts['clipping'])
    clipping['given_bounds'] = tuple(map(tuple, clipping['given_bounds']))
    return cls(
      **{**facts, 'clipping': layer_clipping.LayerClipping(**clipping)}
    )
