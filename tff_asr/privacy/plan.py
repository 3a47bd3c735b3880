"""The privacy plan: one object from which every part of the guarantee is made.

Sampling, clipping, denominator, noise, accountant and ledger come from the same
frozen plan, so that they cannot disagree; a combination that the accountant
cannot justify cannot be built.  The guarantee is for one user, that is, all the
data of one client.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import math
import pathlib
import textwrap

import dp_accounting
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from tff_asr import errors
from tff_asr.privacy import (
  accounting,
  allocation,
  calibration,
  cohorts,
  gaussian_query,
  layer_clipping,
  ledger,
)
from tff_asr.privacy import noise as noise_lib

POISSON = 'poisson'
FIXED = 'fixed'
NONE = 'none'
SAMPLINGS = (POISSON, FIXED, NONE)

# A float32 sum of the size of a client's bound is rounded to 6e-8 of it.
LEAST_NOISE_MULTIPLIER = 1e-5

UNPROTECTED = (
  'UNPROTECTED figures on the clients, which this run releases beside the model'
)


@dataclasses.dataclass(frozen=True)
class PrivacyPlan:
  """A Gaussian mechanism on layer-clipped updates of sampled clients.

  Attributes:
    population: Number of clients K that may be sampled.
    cohort_size: Clients in a round S <= K: the expected number (`poisson`), the
      exact one (`fixed`), or about the number (`none`, see `expected_cohort`).
    rounds: Number of rounds T that are planned.
    delta: Probability that the bound epsilon does not hold, less than 1 / K.
    noise_multiplier: Standard deviation z of the noise on the sum, over C, with
      all that a round releases included.  Zero means no guarantee.
    clipping: How updates are clipped.
    sampling: `poisson`: each client is in each round with probability S / K,
      independently.  `fixed`: every round has S different clients, all sets
      equally likely; population sizes are public, and neighbours differ in the
      data of one client, which moves the sum by up to 2 C.  `none`: clients
      take turns, and nothing is gained by chance.
    noise_allocation: How noise is divided over layers, see `allocation`.
    insecure_noise_seed: Debugging only: noise that repeats.  No guarantee.
    unprotected_metrics: Whether figures on clients are released without noise,
      beside the models.  The guarantee does not cover them.

  Raises:
    UserError: If a value is out of its range, or no true guarantee could be
      given for the combination; says which and what is allowed.
  """

  population: int
  cohort_size: int
  rounds: int
  delta: float
  noise_multiplier: float
  clipping: layer_clipping.LayerClipping
  sampling: str = POISSON
  noise_allocation: str = allocation.EQUAL
  insecure_noise_seed: int | None = None
  unprotected_metrics: bool = False

  def __post_init__(self):
    require = errors.require
    require(
      1 <= self.cohort_size <= self.population,
      f'cohort_size {self.cohort_size} must be at least 1 and at most the '
      f'population of {self.population} clients.',
    )
    require(self.rounds >= 0, f'rounds {self.rounds} must be >= 0.')
    require(
      0.0 <= self.noise_multiplier < math.inf,
      f'noise_multiplier {self.noise_multiplier} must be finite and >= 0.',
    )
    require(
      self.noise_multiplier == 0.0
      or (
        self.noise_multiplier >= LEAST_NOISE_MULTIPLIER
        and self.noise_stddev >= 1e-12
      ),
      f'noise_multiplier {self.noise_multiplier} at clip_norm'
      f' {self.clipping.clip_norm} is too little: float32 would round the noise'
      f' away. Give at least {LEAST_NOISE_MULTIPLIER:g}, or 0 for none.',
    )
    require(
      0.0 < self.delta < 1.0 / self.population
      or (self.population == 1 and 0.0 < self.delta < 1.0),
      f'delta {self.delta} must be between 0 and 1 / {self.population}, one'
      ' over the population: a larger one allows to publish somebody whole.',
    )
    require(
      self.sampling in SAMPLINGS,
      f'sampling {self.sampling!r} must be one of {SAMPLINGS}.',
    )
    require(
      self.noise_allocation in allocation.NAMES,
      f'noise_allocation {self.noise_allocation!r} must be one of'
      f' {allocation.NAMES}.',
    )
    require(
      self.clipping.covers(self.noise_allocation),
      f"Clipping mode 'normalise' bounds the whole update, not each layer:"
      f' noise_allocation {self.noise_allocation!r} would not cover it. Use'
      " 'equal'.",
    )

  @property
  def is_guarantee(self) -> bool:
    """Whether any epsilon is promised."""
    return self.noise_multiplier > 0.0 and self.insecure_noise_seed is None

  @property
  def relation(self) -> accounting.Relation:
    """Which populations are neighbours."""
    if self.sampling == FIXED:
      return accounting.Relation.REPLACE_ONE
    return accounting.Relation.ADD_OR_REMOVE_ONE

  @property
  def turns(self) -> int:
    """Number of rounds after which it is a client's turn again (`none`)."""
    return max(1, round(self.population / self.cohort_size))

  @property
  def expected_cohort(self) -> float:
    """The denominator of the mean, however many clients answered."""
    if self.sampling == NONE:
      return self.population / self.turns
    return float(self.cohort_size)

  @property
  def noise_stddev(self) -> float:
    """Of the noise on each coordinate of the *sum*, where it is `equal`."""
    return self.noise_multiplier * self.clipping.clip_norm

  def cohorts(
    self, client_ids: Sequence[str], insecure_seed: int | None = None
  ) -> cohorts.Cohorts:
    """Returns the sampler of this plan, unpredictable where chance matters.

    Args:
      client_ids: The population.
      insecure_seed: For repeatable cohorts, where nothing is promised.

    Raises:
      UserError: If it is not the plan's, or a client is in it twice, or chance
        would be predictable under a guarantee.
    """
    errors.require(
      insecure_seed is None or not self.is_guarantee,
      'Cohorts from a seed: the epsilon of this plan would not be true.',
    )
    if len(set(client_ids)) != len(client_ids):
      raise errors.UserError('A client is in the population twice.')
    if len(client_ids) != self.population:
      raise errors.UserError(
        f'The plan is for a population of {self.population}, found'
        f' {len(client_ids)} clients.'
      )
    if self.sampling == POISSON:
      rate = self.cohort_size / self.population
      return cohorts.poisson(client_ids, rate, insecure_seed)
    if self.sampling == FIXED:
      return cohorts.fixed_size(client_ids, self.cohort_size, insecure_seed)
    return cohorts.rotation(client_ids, self.turns)

  def query(self, layers: Mapping[str, int]) -> tfp.DPQuery:
    """Returns the query: clip, sum, add noise, divide by the expected cohort.

    Args:
      layers: Number of coordinates of each tensor of an update by its name, in
        the order of the update.
    """
    return tfp.NormalizedQuery(self.noised_sum(layers), self.expected_cohort)

  def noised_sum(
    self, layers: Mapping[str, int]
  ) -> gaussian_query.LayerClippedGaussianSumQuery:
    """Returns the query before the division."""
    return self.clipping.query(
      layers,
      self.noise_multiplier,
      self.noise_allocation,
      self.expected_cohort,
      noise_lib.GaussianSource(self.insecure_noise_seed),
    )

  def aggregation_factory(
    self, layers: Mapping[str, int]
  ) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns the only aggregation of client updates that this plan covers.

    Args:
      layers: As for `query`.
    """
    return tff.aggregators.DifferentiallyPrivateFactory(self.query(layers))

  def release(self, number: int) -> ledger.RoundRelease:
    """What a round releases, to be recorded before it does.

    Args:
      number: The round, from 1.
    """
    if not self.is_guarantee:
      return ledger.RoundRelease(dp_accounting.NonPrivateDpEvent())
    if self.sampling == FIXED:
      # Another client in the place of one moves the sum by up to 2 C.
      event = dp_accounting.SampledWithoutReplacementDpEvent(
        self.population,
        self.cohort_size,
        dp_accounting.GaussianDpEvent(self.noise_multiplier / 2.0),
      )
      return ledger.RoundRelease(event)
    event = dp_accounting.GaussianDpEvent(self.noise_multiplier)
    if self.sampling == NONE:
      turn = (number - 1) % self.turns
      return ledger.RoundRelease(event, (turn, self.turns))
    return ledger.RoundRelease(
      dp_accounting.PoissonSampledDpEvent(
        self.cohort_size / self.population, event
      )
    )

  def releases(self, rounds: int | None = None) -> accounting.Releases:
    """All that a client is released in, by default in the planned rounds."""
    rounds = self.rounds if rounds is None else rounds
    if self.sampling == NONE:
      rounds = math.ceil(rounds / self.turns)
    return ((self.release(1).event, rounds),) if rounds else ()

  def epsilons(self, rounds: int | None = None) -> accounting.Epsilons:
    """Epsilon at `delta` after a number of rounds; infinite without noise."""
    return accounting.epsilons(self.releases(rounds), self.relation, self.delta)

  def open_ledger(
    self, path: pathlib.Path, priors: Sequence[pathlib.Path] = ()
  ) -> ledger.Ledger:
    """Opens or begins the ledger of a run under this plan.

    Args:
      path: Its file.
      priors: Ledgers (or run folders) of earlier runs on the same clients.

    Raises:
      UserError: See `ledger.Ledger.open`.
    """
    facts = dataclasses.asdict(self)
    del facts['rounds']  # More may be asked for later.
    return ledger.Ledger.open(path, facts, self.relation, priors)

  def with_noise_for(
    self, epsilon: float, others: accounting.Releases = ()
  ) -> 'PrivacyPlan':
    """Returns this plan with the least noise that meets a target.

    Args:
      epsilon: Target at `delta` after the planned rounds.
      others: What other runs have released to the same clients.

    Raises:
      UserError: If no noise meets it.
    """
    spent = accounting.epsilons(others, self.relation, self.delta).best
    errors.require(
      spent < epsilon,
      f'No noise meets epsilon {epsilon:g} at delta {self.delta:g}: that of'
      f' earlier runs is {spent:.4g}.',
    )

    def releases(noise_multiplier):
      own = dataclasses.replace(self, noise_multiplier=noise_multiplier)
      return accounting.merged([*others, *own.releases()])

    noise_multiplier = calibration.noise_multiplier(
      releases, self.relation, epsilon, self.delta
    )
    return dataclasses.replace(self, noise_multiplier=noise_multiplier)

  def hypothetical(self, cohort_size: int, population: int) -> 'PrivacyPlan':
    """Returns the plan with other sizes and the same noise on the *mean*.

    The multiplier on the sum grows with the cohort.  That training would reach
    the same accuracy there is an assumption (McMahan et al., 2018, arXiv
    1710.06963; section 4.3 of Pelikan et al., 2025); its epsilon says nothing
    of the run at hand.
    """
    scale = cohort_size / self.cohort_size
    return dataclasses.replace(
      self,
      population=population,
      cohort_size=cohort_size,
      noise_multiplier=self.noise_multiplier * scale,
    )

  def __str__(self) -> str:
    return _wrapped(*self.in_words())

  def in_words(self) -> tuple[str, dict[str, str]]:
    """Returns what is promised, in a line, and its parts by their names."""
    if not self.is_guarantee:
      why = (
        'no noise is added'
        if self.noise_multiplier == 0.0
        else 'the noise follows from a seed (--insecure_noise_seed)'
      )
      return (
        'No privacy guarantee.',
        {'why': why, 'clipping': str(self.clipping), 'epsilon': 'none'},
      )
    return (
      'User-level differential privacy.',
      {
        'protects': f'all data of any one of {self.population:,} clients',
        'neighbours': _NEIGHBOURS[self.relation],
        'sampling': self._sampling_in_words(),
        'clipping': str(self.clipping),
        'noise': (
          f'Gaussian, multiplier {self.noise_multiplier:.4g} over the bounds,'
          f' {self.noise_allocation!r} over the layers, fresh each time'
        ),
        'mean': (
          f'the sum over {self.expected_cohort:g}, the expected cohort; whoever'
          ' drops out, fails or sends no finite update counts as zero'
        ),
        'epsilon': (
          f'{epsilons_in_words(self.epsilons())} at delta {self.delta:g}, after'
          f' {self.rounds} rounds'
        ),
        'covered': (
          'the models of all rounds, all else that is released of them, and'
          ' whatever is made of it'
        ),
        'assumed': _ASSUMED[self.sampling],
        'not covered': (
          (UNPROTECTED + '; ' if self.unprotected_metrics else '')
          + 'speakers of a seed model or of the evaluation, settings chosen by'
          ' looking at results, attacks on floating-point noise'
        ),
      },
    )

  def _sampling_in_words(self) -> str:
    if self.sampling == POISSON:
      return (
        f'each client is in a round with probability'
        f' {self.cohort_size / self.population:.4g}, independently'
      )
    if self.sampling == FIXED:
      return f'{self.cohort_size} different clients, all sets equally likely'
    return (
      f'clients take turns, each in one of {self.turns} rounds; nothing is'
      ' gained by chance'
    )


_NEIGHBOURS = {
  accounting.Relation.ADD_OR_REMOVE_ONE: (
    'one client there or not, at the same probability of sampling'
  ),
  accounting.Relation.REPLACE_ONE: (
    'the data of one client replaced by any other; how many there are is public'
  ),
}

_ASSUMED = {
  POISSON: (
    'who is in a round stays unknown; clipping and noise are applied as'
    ' planned, by whoever adds up the updates'
  ),
  FIXED: (
    'who is in a round stays unknown; clipping and noise are applied as'
    ' planned, by whoever adds up the updates'
  ),
  NONE: (
    'clients keep to their turns; clipping and noise are applied as planned, by'
    ' whoever adds up the updates'
  ),
}


def epsilons_in_words(epsilons: accounting.Epsilons) -> str:
  """Both bounds, such as `4.22 by PLD, 4.44 by RDP`."""
  if math.isinf(epsilons.best):
    return 'none'
  known = [('PLD', epsilons.pld), ('RDP', epsilons.rdp)]
  return ', '.join(
    f'{accounting.text(value)} by {name}'
    for name, value in known
    if value is not None
  )


def _wrapped(title: str, lines: Mapping[str, str]) -> str:
  body = [
    textwrap.fill(
      text, 80, initial_indent=f'  {name:13}', subsequent_indent=' ' * 15
    )
    for name, text in lines.items()
  ]
  return '\n'.join([title, *body])
